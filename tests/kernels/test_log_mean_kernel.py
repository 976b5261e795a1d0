"""The mean of log(1 + s X) is that of a sum over the probabilities of SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from scae.kernels.log_mean import beta_binomial_log1p_means, log1p_means, table


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("theta", [0.2, 3.0, 100.0])
def test_negative_binomial(scale, theta):
    mu, k = np.array([[0.0, 0.01, 1.0, 20.0, 100.0]]), np.arange(20_000)
    out = np.empty_like(mu)
    log1p_means(0, 1, mu, np.full_like(mu, theta), scale, *table(scale), out)
    probability = stats.nbinom.pmf(k[:, None], theta, theta / (theta + mu[0]))
    np.testing.assert_allclose(out[0], np.log1p(scale * k) @ probability, rtol=1e-6, atol=1e-9)


def test_beta_binomial():
    n, share, precision = 50, np.array([[0.0, 0.01, 0.3, 0.99, 1.0]]), np.array([4.0])
    logs, out = np.log1p(2.0 * np.arange(n + 1)), np.empty_like(share)
    beta_binomial_log1p_means(0, 1, share, precision, logs, out)
    expected = [0.0, *(stats.betabinom.pmf(np.arange(n + 1), n, 4 * p, 4 * (1 - p)) @ logs for p in share[0, 1:-1]), logs[-1]]
    np.testing.assert_allclose(out[0], expected, rtol=1e-7)
