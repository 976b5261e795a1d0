"""Kernels that write matrices give the results of NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from matrices import counts, rows_of

from scae.kernels import reshape
from scae.kernels.rows import Rows, Uncanonical


def dense(m: Rows) -> np.ndarray:
    return sp.csr_matrix((m.data, m.indices, m.indptr), shape=(m.n_rows, m.n_columns)).toarray()


def test_divide_rows():
    values, factors = counts("float64"), np.linspace(1, 3, 300)
    m = rows_of(values)
    reshape.divide_rows(m, factors)
    np.testing.assert_allclose(dense(m), values / factors[:, None])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8"])
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("which", ["cells", "genes", "both"])
def test_keep_is_indexing(dtype, index, which):
    values, rng = counts(dtype), np.random.default_rng(1)
    cells = rng.random(300) < 0.5 if which != "genes" else None
    genes = rng.random(40) < 0.5 if which != "cells" else None
    m = rows_of(values)
    result = reshape.keep(m._replace(indices=m.indices.astype(index)), cells, genes)
    expected = values[slice(None) if cells is None else cells][:, slice(None) if genes is None else genes]
    np.testing.assert_array_equal(dense(result), expected)
    assert result.data.dtype == values.dtype
    assert result.indices.dtype == index


@pytest.mark.parametrize("column", [-1, 40])
def test_keep_raises_for_a_column_outside_the_matrix(column):
    m = rows_of(counts())
    m.indices[17] = column
    with pytest.raises(Uncanonical):
        reshape.keep(m, None, np.ones(40, bool))


def test_divide_columns():
    values, divisors, mask = counts("float64"), np.linspace(0.5, 2, 40), np.arange(300) % 2 == 0
    m = rows_of(values)
    reshape.divide_columns(m, divisors, mask, 1.5)
    np.testing.assert_allclose(dense(m), np.where(mask[:, None], np.minimum(values / divisors, 1.5), values))


def test_standardise():
    values, mean, divisors = counts("float64"), np.linspace(0, 2, 40), np.linspace(0.5, 2, 40)
    expected = np.clip((values - mean) / divisors, -1.2, 1.2)
    np.testing.assert_allclose(reshape.standardise(rows_of(values), mean, divisors, 1.2), expected)
