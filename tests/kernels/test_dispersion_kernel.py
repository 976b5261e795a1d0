"""The log probability of held-out counts: against SciPy's negative binomial."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln

from scae.kernels.dispersion import log_predictive

FACTORS = np.array([1e-3, 0.3, 1.0, 50.0, 1e6])


def probabilities(mu, theta, on, seen, held):
    """Σ log p(held | seen) by Bayes' rule over the two states of a gene."""
    shape, rate = theta + seen, theta / mu + 1
    counted = stats.nbinom.logpmf(held, shape, rate / (rate + 1))
    silent = on * stats.nbinom.pmf(0, theta, theta / (theta + mu))
    p = np.where(seen > 0, 1.0, silent / (1 - on + silent))
    both = p * np.exp(counted) + (1 - p) * (held == 0)
    return (np.log(both) + gammaln(held + 1)).sum(0)


@pytest.mark.parametrize("per_cell", [False, True])
@pytest.mark.parametrize("inflated", [False, True])
@pytest.mark.parametrize("big", [1.0, 40.0])
def test_sums_are_those_of_a_negative_binomial(rng, per_cell, inflated, big):
    mu = rng.gamma(1.0, big, (30, 7))
    theta = rng.gamma(2.0, 1.0, (30 if per_cell else 1, 7)) + 0.05
    on = rng.uniform(0.2, 1.0, (30, 7)) if inflated else np.ones((1, 1))
    seen, held = rng.poisson(mu).astype(float), rng.poisson(mu).astype(float)
    found = np.zeros((7, FACTORS.size))
    log_predictive(0, 3, mu, theta, on, seen, held, FACTORS, found)
    assert not found[3:].any()
    log_predictive(3, 7, mu, theta, on, seen, held, FACTORS, found)
    want = np.stack([probabilities(mu, f * theta, on, seen, held) for f in FACTORS], 1)
    np.testing.assert_allclose(found, want, rtol=1e-6)
