"""Sums over rows and columns are those of NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from matrices import counts, rows_of, unsorted

from scae.kernels import sums
from scae.kernels.rows import Uncanonical

dtypes = pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])


@dtypes
def test_rows(dtype):
    values = counts(dtype)
    np.testing.assert_array_equal(sums.rows(rows_of(values)), np.stack([values.sum(1), (values > 0).sum(1)], axis=1))


@dtypes
@pytest.mark.parametrize(
    ("second", "of"), [(sums.SQUARES, np.square), (sums.POSITIVE, lambda v: v > 0), (sums.NONZERO, lambda v: v != 0)]
)
def test_columns(dtype, second, of):
    values = counts(dtype)
    total, are_counts = sums.columns(rows_of(values), second)
    np.testing.assert_array_equal(total, np.stack([values.sum(0), of(values.astype(float)).sum(0)], axis=1))
    assert are_counts


@pytest.mark.parametrize("value", [0.5, -1.0, np.nan])
def test_columns_notice_values_that_are_not_counts(value):
    values = counts()
    values[7, 7] = value
    assert not sums.columns(rows_of(values), sums.SQUARES)[1]


def test_columns_of_transformed_values():
    values = counts("float64")
    total, _ = sums.columns(rows_of(values), sums.SQUARES, np.expm1)
    np.testing.assert_allclose(total, np.stack([np.expm1(values).sum(0), (np.expm1(values) ** 2).sum(0)], axis=1))


@dtypes
def test_detected(dtype):
    values = counts(dtype)
    np.testing.assert_array_equal(sums.detected(rows_of(values)), (values > 0).sum(0))


def test_clipped():
    values = counts("float64")
    ceiling = np.linspace(0.5, 3, values.shape[1])
    kept = np.minimum(values, ceiling)
    expected = np.stack([(values - kept).sum(0), (values**2 - kept**2).sum(0)], axis=1)
    np.testing.assert_allclose(sums.clipped(rows_of(values), ceiling), expected)


@pytest.mark.parametrize(
    "function",
    [sums.rows, sums.detected, lambda m: sums.columns(m, sums.SQUARES), lambda m: sums.clipped(m, np.ones(m.n_columns))],
)
def test_invalid_columns_raise(function):
    m = rows_of(counts())
    outside = m.indices.copy()
    outside[m.indptr[8] - 1] = m.n_columns  # last column of row 7
    for invalid in (unsorted(counts()), m._replace(indices=outside)):
        with pytest.raises(Uncanonical):
            function(invalid)
