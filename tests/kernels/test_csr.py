"""CSR kernels give the results of SciPy, and validation finds every fault."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scae import threads
from scae.errors import MatrixError
from scae.kernels import csr

DENSE = arrays(
    np.float64, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=st.sampled_from([0.0, 0.0, 0.0, 1.0, 2.0, 7.0])
)
INDEX = st.sampled_from([np.int32, np.int64, np.uint32, np.uint64])


@given(DENSE, st.data())
def test_gather_is_fancy_indexing(dense, data):
    x = sp.csr_matrix(dense)
    rows = np.array(data.draw(st.lists(st.integers(0, x.shape[0] - 1), max_size=12)), np.int64)
    result = csr.gather(x.indptr.astype(np.int64), x.indices, x.data, rows)
    expected = x[rows] if rows.size else sp.csr_matrix((0, x.shape[1]))
    assert all(np.array_equal(a, b) for a, b in zip(result, (expected.indptr, expected.indices, expected.data), strict=True))


@given(DENSE)
def test_transpose_is_tocsc(dense):
    x = sp.csr_matrix(dense)
    expected = x.tocsc()
    result = csr.transpose(x.indptr, x.indices, x.data, x.shape[1])
    assert all(np.array_equal(a, b) for a, b in zip(result, (expected.indptr, expected.indices, expected.data), strict=True))


@given(DENSE, INDEX)
def test_valid_arrays_pass(dense, dtype):
    x = sp.csr_matrix(dense)
    assert csr.validate(x.indptr.astype(dtype), x.indices.astype(dtype), x.data, x.shape[1])


@given(DENSE, INDEX)
def test_unsorted_or_repeated_columns_are_not_canonical(dense, dtype):
    x = sp.csr_matrix(dense)
    backwards = np.concatenate([np.zeros(0, dtype)] + [r[::-1] for r in np.split(x.indices.astype(dtype), x.indptr[1:-1])])
    canonical = bool((np.diff(x.indptr) < 2).all())
    assert csr.validate(x.indptr.astype(dtype), backwards, x.data, x.shape[1]) is canonical


@given(
    arrays(np.int64, st.integers(0, 6), elements=st.integers(-3, 9)),
    arrays(np.int64, st.integers(0, 6), elements=st.integers(-3, 9)),
    st.integers(0, 6),
    st.integers(0, 6),
    INDEX,
)
def test_validate_agrees_with_the_definition(indptr, indices, n_data, n_columns, dtype):
    """Validation raises exactly if a kernel would read out of bounds."""
    if np.issubdtype(dtype, np.unsignedinteger):
        indptr, indices = np.abs(indptr), np.abs(indices)
    valid = (
        indptr.size > 0 and indptr[0] == 0 and indptr[-1] == indices.size == n_data
        and bool((np.diff(indptr) >= 0).all()) and bool(((indices >= 0) & (indices < n_columns)).all())
    )  # fmt: skip
    if valid:
        csr.validate(indptr.astype(dtype), indices.astype(dtype), np.ones(n_data), n_columns)
    else:
        with pytest.raises(MatrixError):
            csr.validate(indptr.astype(dtype), indices.astype(dtype), np.ones(n_data), n_columns)


FAULTS = {
    "no pointers": ([], [], []),
    "does not start at 0": ([1, 2], [0, 1], [1, 1]),
    "ends early": ([0, 1], [0, 1], [1, 1]),
    "ends late": ([0, 3], [0, 1], [1, 1]),
    "decreases": ([0, 2, 1, 2], [0, 1], [1, 1]),
    "decreases below zero": ([0, -1, 2], [0, 1], [1, 1]),
    "exceeds the data in the middle": ([0, 9, 2], [0, 1], [1, 1]),
    "column too large": ([0, 2], [0, 3], [1, 1]),
    "column negative": ([0, 2], [-1, 0], [1, 1]),
    "far out of bounds": ([0, 2], [0, 2**60], [1, 1]),
    "fault after an unsorted row": ([0, 2, 3], [1, 0, 77], [1, 1, 1]),
    "pointer decreases after an unsorted row": ([0, 2, 1, 3], [1, 0, 2], [1, 1, 1]),
    "values missing": ([0, 2], [0, 1], [1]),
    "two-dimensional": ([[0, 1]], [0], [1]),
}


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_raises(fault, dtype):
    indptr, indices, data = (np.array(a, np.int64).astype(dtype) for a in FAULTS[fault])
    with pytest.raises(MatrixError):
        csr.validate(indptr, indices, data, 3)


def test_threads_do_not_change_gathered_rows():
    rng = np.random.default_rng(0)
    x = sp.random(3000, 400, 0.1, format="csr", dtype=np.float32, random_state=rng)
    rows, results = rng.permutation(3000), []
    for n in (1, 2, 4):
        with threads.use(n):
            gathered = csr.gather(x.indptr.astype(np.int64), x.indices, x.data, rows)
        results.append(b"".join(a.tobytes() for a in gathered))
    assert results[0] == results[1] == results[2]
