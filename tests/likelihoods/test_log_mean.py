"""E[log1p(s X)]: against sums over the probabilities, against draws, and through the verb."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers import counts_like, counts_of, parameters_of, real_counts, variants
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import scae
from scae import threads
from scae.errors import ConfigError
from scae.likelihoods import DirichletMultinomial, Parameters
from scae.ops.log_mean import beta_binomial_mean_log1p, mean_log1p
from scae.parts import to_dict

MOLECULES = [v for v in variants("likelihood") if v.of_molecules and to_dict(v).get("link") != "softplus"]


def one(value: float) -> torch.Tensor:
    return torch.tensor([[value]], dtype=torch.float64)


def summed(law, upto: int, scale: float) -> float:
    k = np.arange(upto)
    return float((law.pmf(k) * np.log1p(scale * k)).sum())


@given(
    st.floats(math.log(1e-6), math.log(2e3)), st.floats(math.log(0.02), math.log(1e6)), st.sampled_from([1e-2, 0.3, 1.0, 100.0])
)
def test_negative_binomial_is_the_sum_over_counts(log_mu, log_theta, scale):
    mu, theta = math.exp(log_mu), math.exp(log_theta)
    upto = int(mu + 60 * math.sqrt(mu + mu * mu / theta) + 40 * (1 + mu / theta) + 200)
    want = summed(stats.nbinom(theta, theta / (theta + mu)), upto, scale)
    assert float(mean_log1p(one(mu), one(theta)[0], scale)) == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("mu", [1e-6, 0.02, 1.0, 29.0, 31.0, 3000.0])
def test_poisson_is_the_sum_over_counts(mu):
    assert float(mean_log1p(one(mu), None, 2.0)) == pytest.approx(summed(stats.poisson(mu), 6000, 2.0), rel=1e-6)


@pytest.mark.parametrize(("n", "p"), [(3, 0.9), (50, 0.1), (10_000, 0.003), (10_000, 0.3), (10_000, 1.0)])
def test_binomial_is_the_sum_over_counts(n, p):
    got = float(mean_log1p(one(n * p), one(-float(n))[0], 1.0))
    assert got == pytest.approx(summed(stats.binom(n, p), n + 1, 1.0), rel=1e-6)


@pytest.mark.parametrize(("n", "alpha", "p"), [(50, 3.0, 0.1), (10_000, 500.0, 0.003), (10_000, 5000.0, 0.3), (5000, 5.0, 0.01)])
def test_beta_binomial_is_the_sum_over_counts(n, alpha, p):
    got = float(beta_binomial_mean_log1p(one(p), one(alpha)[0], n, 1.0))
    assert got == pytest.approx(summed(stats.betabinom(n, alpha * p, alpha * (1 - p)), n + 1, 1.0), rel=1e-6)


def test_far_out_it_is_a_number():
    mu = torch.tensor([[0.0, 1e-30, 1e7, 1e7, 1.0, math.nan]])
    theta = torch.tensor([1.0, 1e-6, 1e-6, 1e8, 1e-6, 1.0])
    for scale in (1e-4, 1.0, 1e4):
        out = mean_log1p(mu, theta, scale)[0]
        assert out[0] == 0
        assert out[5].isnan()
        assert (out[:5] >= 0).all()
        assert (out[:5] <= torch.log1p(scale * mu[0, :5]) * (1 + 1e-5)).all(), "log is concave"


@pytest.mark.parametrize("likelihood", MOLECULES, ids=repr)
def test_it_is_the_mean_of_log1p_of_draws(likelihood, rng):
    counts = counts_of(counts_like(rng, 6, 12), dtype="float64")
    p = parameters_of(likelihood, counts, spread=0.5)
    p = Parameters(p.raw, torch.full((6, 1), 40.0, dtype=torch.float64), p.unit)
    draw = torch.Generator().manual_seed(0)
    draws = torch.stack([torch.log1p(2.5 * likelihood.sample(p, draw)) for _ in range(600)]).detach()
    error = draws.std(0) / len(draws) ** 0.5 + 1e-3
    z = (draws.mean(0) - likelihood.mean_log1p(p, 2.5).detach()) / error
    assert z.abs().max() < 6
    assert z.abs().mean() < 1.1


def test_threads_do_not_change_bits(rng):
    mu, theta = torch.from_numpy(rng.gamma(0.5, 9, (300, 200))), torch.from_numpy(rng.gamma(1, 1, 200))
    with threads.use(1):
        want = mean_log1p(mu, theta, 1.0)
    with threads.use(3):
        assert torch.equal(mean_log1p(mu, theta, 1.0), want)


def test_the_verb_writes_expected_log_values_at_the_depth(model):
    """From the rate and the dispersion that the other verbs write, by SciPy's probabilities."""
    adata, depth, some = real_counts()[:20].copy(), 2500.0, np.arange(0, 765, 90)
    for kind in ("rate", "log_mean"):
        scae.tl.denoise(adata, model, kind=kind, library_size=depth, key_added=kind)
    scae.tl.dispersion(adata, model)
    mu, theta = adata.layers["rate"][:, some], adata.var["dispersion"].to_numpy()[some]
    want = [[summed(stats.nbinom(t, t / (t + m)), 4000, 1e4 / depth) for m, t in zip(row, theta, strict=True)] for row in mu]
    np.testing.assert_allclose(adata.layers["log_mean"][:, some], want, rtol=1e-4)
    assert (adata.layers["log_mean"] <= np.log1p(adata.layers["rate"] * 1e4 / depth) + 1e-5).all()
    assert '"kind": "log_mean"' in adata.uns["scae"]["written"]["layers['log_mean']"]


@pytest.mark.parametrize("preset", ["pca", "atac"])
def test_models_of_other_things_than_molecules_are_refused_before_a_fit(preset):
    with pytest.raises(ConfigError, match=r"'log_mean'.*poisson"):
        scae.tl.denoise(real_counts(), preset, kind="log_mean")


def test_each_counts_of_cells_has_one_depth(rng):
    counts = counts_of(counts_like(rng, 4, 5), dtype="float64")
    p = parameters_of(DirichletMultinomial(), counts)
    equal = Parameters(p.raw, torch.full((4, 1), 30.0, dtype=torch.float64), 1.0)
    share, alpha = torch.softmax(p["mean"], 1).detach(), float(p["precision"].detach().exp())
    law = stats.betabinom(30, alpha * share[2, 3], alpha * (1 - share[2, 3]))
    assert float(DirichletMultinomial().mean_log1p(equal, 1.0)[2, 3]) == pytest.approx(summed(law, 31, 1.0), rel=1e-6)
