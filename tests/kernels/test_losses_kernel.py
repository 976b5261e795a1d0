"""Costs of stored counts are the negative log probabilities of SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from matrices import counts
from scipy import stats

from scae.kernels import losses

VALUES = counts("float64")
VALUES[0, 0] = 5000
X = sp.csr_matrix(VALUES)
ARRAYS = (0, 300, X.indptr, X.indices, X.data)
PRESENT = VALUES > 0


def check(cost: np.ndarray, expected: np.ndarray) -> None:
    """Assert that exactly the entries of stored counts were overwritten, with the expected values."""
    np.testing.assert_allclose(cost[PRESENT], expected[PRESENT], rtol=1e-9, atol=1e-12)
    assert (cost[~PRESENT] == -1).all()


def parameters() -> np.ndarray:
    return np.random.default_rng(1).normal(size=VALUES.shape)


@pytest.mark.parametrize("rows", [1, 300])
def test_negative_binomial(rows):
    log_mu, log_theta = parameters(), parameters()[:rows] + 1
    mu, theta = np.exp(log_mu), np.exp(log_theta)
    cost = theta * np.log1p(mu / theta)  # of zeros
    at_zero, slope_mu, slope_theta = cost.copy(), theta * mu / (theta + mu), np.zeros(VALUES.shape)
    losses.nb_stored(*ARRAYS, log_mu, log_theta, theta, cost, slope_mu, slope_theta)
    expected = -stats.nbinom.logpmf(VALUES, theta, theta / (theta + mu))
    np.testing.assert_allclose(cost[PRESENT], expected[PRESENT], rtol=1e-9)
    np.testing.assert_array_equal(cost[~PRESENT], at_zero[~PRESENT])
    np.testing.assert_allclose(slope_mu, (mu - VALUES) * theta / (theta + mu), rtol=1e-9, atol=1e-9)


def test_poisson():
    log_mu, cost, slope = parameters(), np.full(VALUES.shape, -1.0), np.full(VALUES.shape, -1.0)
    losses.poisson_stored(*ARRAYS, log_mu, cost, slope)
    check(cost, -stats.poisson.logpmf(VALUES, np.exp(log_mu)))
    check(slope, np.exp(log_mu) - VALUES)


def test_presence():
    log_mu, cost, slope = parameters(), np.full(VALUES.shape, -1.0), np.full(VALUES.shape, -1.0)
    losses.presence_stored(*ARRAYS, log_mu, cost, slope)
    check(cost, -stats.poisson.logsf(0, np.exp(log_mu)))


def test_bernoulli():
    logit, cost, slope = parameters(), np.full(VALUES.shape, -1.0), np.full(VALUES.shape, -1.0)
    losses.bernoulli_stored(*ARRAYS, logit, cost, slope)
    check(cost, -stats.logistic.logcdf(logit))
    check(slope, -stats.logistic.sf(logit))


def test_probability():
    log_p, cost, slope = -np.exp(parameters()), np.full(VALUES.shape, -1.0), np.full(VALUES.shape, -1.0)
    losses.probability_stored(*ARRAYS, log_p, cost, slope)
    check(cost, -log_p)


def test_difference():
    out = parameters()
    losses.less_stored(*ARRAYS, out)
    np.testing.assert_allclose(out, parameters() - VALUES)
