"""Median ratios and the saturated log likelihood are those of NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from matrices import counts, rows_of
from scipy.special import xlogy

from scae.kernels import ratios


def test_median_ratios():
    values, reference = counts("float64"), np.linspace(0.5, 2, 40)
    expected = [np.median((row / reference)[row > 0]) if row.any() else 0 for row in values]
    np.testing.assert_allclose(ratios.median_ratios(rows_of(values), reference), expected)


@pytest.mark.parametrize("binomial", [True, False])
def test_deviance_sums(binomial):
    values = counts("float64")
    depths = values.sum(1)
    y, n = values, np.maximum(depths, 1)[:, None]
    expected = xlogy(y, y / n) + (xlogy(n - y, 1 - y / n) if binomial else 0)
    np.testing.assert_allclose(ratios.deviance_sums(rows_of(values), depths, binomial=binomial), expected.sum(0), atol=1e-12)
