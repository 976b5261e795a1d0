"""``Rows`` hold the matrix they were made from, and pieces and chunks cover it exactly once."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from matrices import counts, rows_of, unsorted

from scae.errors import MatrixError
from scae.kernels import rows as module
from scae.kernels.rows import Rows, Uncanonical, each_chunk, pieces


def dense(m: Rows) -> np.ndarray:
    return sp.csr_matrix((m.data, m.indices, m.indptr), shape=(m.n_rows, m.n_columns)).toarray()


def test_sparse_and_dense_matrices_become_the_same_rows():
    values = counts()
    np.testing.assert_array_equal(dense(rows_of(values)), values)
    np.testing.assert_array_equal(dense(Rows.full(values)), values)


def test_take_is_indexing():
    values, chosen = counts(), np.array([7, 3, 7, 0])
    np.testing.assert_array_equal(dense(rows_of(values).take(chosen)), values[chosen])


def test_canonical_sorts_the_columns_of_a_copy():
    m = unsorted(counts())
    before = m.indices.copy()
    np.testing.assert_array_equal(m.canonical().indices, rows_of(counts()).indices)
    np.testing.assert_array_equal(m.indices, before)


def test_invalid_pointers_raise():
    x = sp.csr_matrix(counts())
    x.indptr[5] = x.indptr[6] + 4
    with pytest.raises(MatrixError):
        Rows.of(x)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_pieces_hold_each_value_once(monkeypatch, dtype, index):
    monkeypatch.setattr(module, "_PIECE", 50)
    values = counts(dtype)
    m = rows_of(values)
    m = m._replace(indices=m.indices.astype(index))
    parts = list(pieces(m, 10, 200))
    assert [p.start for p in parts] == [10, *(p.stop for p in parts[:-1])]
    assert parts[-1].stop == 200
    np.testing.assert_array_equal(np.concatenate([p.data for p in parts]), m.data[m.indptr[10] : m.indptr[200]])
    np.testing.assert_array_equal(np.concatenate([p.indices for p in parts]), m.indices[m.indptr[10] : m.indptr[200]])
    assert all(p.data.dtype in (np.float32, np.float64) for p in parts)


def test_a_64_bit_column_outside_the_matrix_raises():
    m = rows_of(counts())
    indices = m.indices.astype(np.int64)
    indices[9] += 1 << 32
    with pytest.raises(Uncanonical):
        list(pieces(m._replace(indices=indices), 0, m.n_rows))


@pytest.mark.parametrize("chunks", [1, 3, 16])
def test_chunks_cover_each_row_once(chunks):
    m, ranges = rows_of(counts()), []
    each_chunk(m, chunks, lambda chunk, start, stop: ranges.append((chunk, start, stop)))
    assert [chunk for chunk, _, _ in sorted(ranges)] == list(range(chunks))
    assert [row for _, start, stop in sorted(ranges) for row in range(start, stop)] == list(range(m.n_rows))
