"""``thinned`` inverts the distribution function of the binomial."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from scae.kernels.thin import MOST, thinned


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("n", [1.0, 7.0, MOST])
def test_draws_are_quantiles_of_the_binomial(n, share):
    uniform, out = np.random.default_rng(0).random(500), np.empty(500)
    thinned(0, 5, np.arange(0, 501, 100), np.full(500, n), np.full(5, share), uniform, out)
    expected = stats.binom.ppf(uniform, n, share) if share <= 0.5 else n - stats.binom.ppf(uniform, n, 1 - share)
    np.testing.assert_array_equal(out, expected)


def test_large_counts_are_skipped_and_0_gives_0():
    out = np.full(2, -5.0)
    thinned(0, 1, np.array([0, 2]), np.array([MOST + 1, 0.0]), np.array([0.5]), np.full(2, 0.5), out)
    assert out.tolist() == [-5.0, 0.0]
