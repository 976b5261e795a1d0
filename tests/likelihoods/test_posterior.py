"""The posterior of a cell's own counts: against integrals over the rate, draws, and what must hold at the ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers import counts_like, counts_of, parameters_of, variants
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from scae.errors import ConfigError
from scae.likelihoods import Bernoulli, DirichletMultinomial, GammaRates, Parameters, Seen
from scae.likelihoods.posterior import gamma_posterior

ALL = variants("likelihood")
RATES = [v for v in ALL if v.of_rates]


def seen_of(counts: torch.Tensor, **options) -> Seen:
    return Seen(counts, torch.ones(counts.shape[1], dtype=counts.dtype), **options)


def rates_of(mu: float, theta: float, on: float | None = None) -> GammaRates:
    mean = torch.tensor([[mu]], dtype=torch.float64)
    return GammaRates(mean, mean.new_tensor([theta]), None if on is None else mean.new_tensor([[on]]))


def count(x: float) -> torch.Tensor:
    return torch.tensor([[x]], dtype=torch.float64)


def by_integral(mu: float, theta: float, x: float, on: float) -> tuple[float, float]:
    """Mean and standard deviation of the rate, by numerical integration of prior × Poisson probability."""
    prior = stats.gamma(theta, scale=mu / theta)
    middle = (theta + x) / (theta / mu + 1)
    upto = middle + 40 * math.sqrt(middle / (theta / mu + 1)) + 40 / (theta / mu + 1)

    def moment(power: int) -> float:
        def value(u: float) -> float:  # in the probability of the prior, which may be infinite at zero
            rate = prior.ppf(u)
            return rate**power * stats.poisson.pmf(x, rate)

        return integrate.quad(value, 0, float(prior.cdf(upto)), epsabs=1e-13, limit=400)[0]

    mass = on * moment(0) + (1 - on) * (x == 0)
    mean, square = on * moment(1) / mass, on * moment(2) / mass
    return mean, math.sqrt(square - mean**2)


@pytest.mark.parametrize("on", [None, 0.3, 0.95])
@pytest.mark.parametrize(("mu", "theta", "x"), [(0.4, 0.7, 0), (0.4, 0.7, 3), (5.0, 2.0, 0), (5.0, 30.0, 12), (60.0, 1.3, 20)])
def test_mean_and_sd_are_integrals_over_the_rate(mu, theta, x, on):
    found = gamma_posterior(rates_of(mu, theta, on), seen_of(count(x)))
    mean, sd = by_integral(mu, theta, x, 1.0 if on is None else on)
    assert float(found.mean) == pytest.approx(mean, rel=1e-5)
    assert float(found.sd) == pytest.approx(sd, rel=1e-4)


@pytest.mark.parametrize("on", [None, 0.3])
@pytest.mark.parametrize(("mu", "theta", "x"), [(0.4, 0.7, 0), (5.0, 2.0, 0), (5.0, 2.0, 9)])
def test_log_mean_is_the_sum_over_new_counts(mu, theta, x, on):
    found = gamma_posterior(rates_of(mu, theta, on), seen_of(count(x)))
    ratio, scale = 3.0, 2.0
    shape = theta + x
    rate = (theta / mu + 1) / ratio
    k = np.arange(3000)
    want = (stats.nbinom.pmf(k, shape, rate / (rate + 1)) * np.log1p(scale * k)).sum()
    if on is not None and x == 0:
        silent = on * stats.nbinom.pmf(0, theta, theta / (theta + mu))
        want *= silent / (1 - on + silent)
    assert float(found.log_mean(count(ratio), scale)) == pytest.approx(want, rel=1e-5)


@given(
    st.floats(math.log(1e-8), math.log(1e4)), st.floats(math.log(1e-6), math.log(1e8)), st.integers(0, 10**6),
    st.sampled_from([None, 1e-6, 0.5, 1.0]), st.sampled_from([0.0, 0.1, 5.0]), st.sampled_from([torch.float32, torch.float64]),
)  # fmt: skip
def test_it_is_finite_and_lies_between_mean_and_count(log_mu, log_theta, x, on, cv2, dtype):
    mu, theta = math.exp(log_mu), math.exp(log_theta)
    rates = GammaRates(*(None if v is None else v.to(dtype) for v in rates_of(mu, theta, on)))
    found = gamma_posterior(rates, seen_of(count(x).to(dtype), technical_cv2=cv2))
    mean, sd = float(found.mean), float(found.sd)
    assert math.isfinite(mean)
    assert math.isfinite(sd)
    assert sd >= 0
    low, high = sorted([mu, x]) if on is None or x > 0 else (0, mu)
    assert low * (1 - 1e-5) - 1e-9 <= mean <= high * (1 + 1e-5) + 1e-9


@pytest.mark.parametrize(("theta", "want"), [(1e8, 0.5), (1e-7, 7.0)])
def test_a_point_prior_keeps_the_mean_and_a_vague_one_the_count(theta, want):
    assert float(gamma_posterior(rates_of(0.5, theta), seen_of(count(7))).mean) == pytest.approx(want, rel=1e-5)


def test_more_molecules_never_mean_a_lower_rate():
    x = torch.arange(50, dtype=torch.float64)[:, None]
    for cv2 in (0.0, 0.3):
        mean = gamma_posterior(GammaRates(torch.full_like(x, 2.0), x.new_tensor([1.5])), seen_of(x, technical_cv2=cv2)).mean
        assert (mean.diff(dim=0) > 0).all()


def test_what_was_not_measured_keeps_its_prior():
    seen = Seen(torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    found = gamma_posterior(rates_of(3.0, 2.0), seen)
    assert (float(found.mean), float(found.sd)) == pytest.approx((3.0, 3.0 / math.sqrt(2.0)))
    assert float(gamma_posterior(rates_of(3.0, 2.0, 0.4), seen).mean) == pytest.approx(1.2)


@pytest.mark.parametrize(("mu", "shape", "cv2"), [(4.0, 2.0, 0.3), (0.5, 1.0, 1.0), (30.0, 5.0, 0.1)])
def test_with_technical_noise_it_is_the_best_linear_estimate_of_the_rate(rng, mu, shape, cv2):
    n = 400_000
    rate = rng.gamma(shape, mu / shape, n)
    x = rng.poisson(rate * rng.gamma(1 / cv2, cv2, n)).astype(float)
    theta = 1 / ((1 + 1 / shape) * (1 + cv2) - 1)  # of both kinds of variation
    seen = Seen(torch.from_numpy(x)[:, None], torch.ones(1, dtype=torch.float64), technical_cv2=cv2)
    found = (
        gamma_posterior(GammaRates(torch.full((n, 1), mu, dtype=torch.float64), torch.tensor([theta])), seen).mean[:, 0].numpy()
    )
    slope = np.cov(rate, x)[0, 1] / x.var()
    assert np.polyfit(x, found, 1) == pytest.approx([slope, mu - slope * mu], rel=0.05)


def test_when_all_the_variation_is_technical_the_mean_stays():
    found = gamma_posterior(rates_of(4.0, 2.0), seen_of(count(40), technical_cv2=0.6))
    assert float(found.mean) == pytest.approx(4.0, rel=1e-4)


@pytest.mark.parametrize("likelihood", RATES, ids=repr)
def test_rates_have_the_mean_and_variance_of_the_likelihood(likelihood, rng):
    counts = counts_of(counts_like(rng, 8, 10), dtype="float64")
    p = parameters_of(likelihood, counts)
    rates = likelihood.rates(p)
    on = 1.0 if rates.on is None else rates.on
    torch.testing.assert_close(rates.mean * on, likelihood.mean(p), rtol=1e-9, atol=0)
    base = getattr(likelihood.dist(p), "base_dist", None)
    if base is not None:
        spread = 0.0 if rates.theta is None else 1 / rates.theta
        variance = on * (rates.mean + rates.mean**2 * (1 + spread)) - (on * rates.mean) ** 2
        torch.testing.assert_close(variance, base.variance.expand_as(variance), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("likelihood", RATES, ids=repr)
def test_each_likelihood_uses_its_own_dispersion_unless_told(likelihood, rng):
    dense = counts_like(rng, 8, 10)
    counts = counts_of(dense, dtype="float64")
    p = parameters_of(likelihood, counts)
    x, rates = torch.from_numpy(dense).double(), likelihood.rates(p)
    own = likelihood.posterior(p, seen_of(x)).mean
    ones = likelihood.posterior(p, seen_of(x, factor=torch.ones(10, dtype=torch.float64))).mean
    if rates.theta is None:
        torch.testing.assert_close(own, likelihood.mean(p), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(ones, rates.mean * (1 + x) / (1 + rates.mean))
    else:
        assert torch.equal(own, ones)


def test_dirichlet_shares_are_those_of_weighted_draws(rng):
    x = torch.tensor([[5.0, 1.0, 0.0]], dtype=torch.float64)
    raw = {"mean": torch.tensor([[0.2, -0.4, 0.1]], dtype=torch.float64), "precision": torch.tensor([1.5], dtype=torch.float64)}
    p = Parameters(raw, x.sum(1, keepdim=True), 6.0)
    found = DirichletMultinomial().posterior(p, seen_of(x))
    share = torch.softmax(raw["mean"], 1)[0].numpy()
    draws = rng.dirichlet(np.exp(1.5) * share, 400_000)
    weight = stats.multinomial(6, draws).pmf(x[0].numpy())
    mean = np.average(draws, 0, weight)
    sd = np.sqrt(np.average((draws - mean) ** 2, 0, weight))
    np.testing.assert_allclose(found.mean[0] / 6, mean, rtol=0.01)
    np.testing.assert_allclose(found.sd[0] / 6, sd, rtol=0.02)
    k = np.arange(13)[:, None]
    of_draws = [(stats.binom.pmf(k, 12, draws[:4000, j]) * np.log1p(2.0 * k)).sum(0) for j in range(3)]
    want = [np.average(each, weights=weight[:4000]) for each in of_draws]
    np.testing.assert_allclose(found.log_mean(torch.tensor([[2.0]]), 2.0)[0], want, rtol=0.1)


def test_dirichlet_genes_that_were_not_measured_keep_their_share():
    raw = {"mean": torch.tensor([[0.2, -0.4, 0.1]], dtype=torch.float64), "precision": torch.tensor([1.5], dtype=torch.float64)}
    x = torch.tensor([[5.0, 1.0, 0.0]], dtype=torch.float64)
    p = Parameters(raw, torch.tensor([[9.0]], dtype=torch.float64), 6.0)
    found = DirichletMultinomial().posterior(p, Seen(x, torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64))).mean
    assert float(found[0, 2]) == pytest.approx(9 * float(torch.softmax(raw["mean"], 1)[0, 2]))
    assert float(found.sum()) == pytest.approx(9.0)


@pytest.mark.parametrize("likelihood", [v for v in ALL if isinstance(v, Bernoulli)], ids=repr)
def test_presence_given_presence_is_bayes_rule(likelihood, rng):
    dense = counts_like(rng, 8, 10)
    counts = counts_of(dense, dtype="float64")
    p = parameters_of(likelihood, counts)
    x = torch.from_numpy(dense).double()
    mean = likelihood.mean(p)
    found = likelihood.posterior(p, seen_of(x))
    if likelihood.depth != "learned" and not likelihood.bias:
        torch.testing.assert_close(found.mean, mean)
        return
    opened = torch.sigmoid(p["mean"]) if likelihood.depth != "library" else 1 - torch.exp(-likelihood.log_rate(p).exp())
    seen_if_open = mean / opened
    joint = torch.where(x > 0, mean, opened * (1 - seen_if_open))  # open, and this presence
    any_state = torch.where(x > 0, mean, 1 - mean)
    torch.testing.assert_close(found.mean, seen_if_open * joint / any_state, rtol=1e-4, atol=1e-6)
    unmeasured = Seen(torch.zeros_like(x), torch.zeros(10, dtype=torch.float64))
    torch.testing.assert_close(likelihood.posterior(p, unmeasured).mean, mean, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("likelihood", [v for v in ALL if not v.of_molecules and not v.of_presence], ids=repr)
def test_others_have_none(likelihood, rng):
    counts = counts_of(counts_like(rng, 4, 5))
    with pytest.raises(ConfigError, match="have no posterior"):
        likelihood.posterior(parameters_of(likelihood, counts), seen_of(counts.dense()))
