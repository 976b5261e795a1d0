"""Presence of a feature: what depth and a feature's own factor make of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import QUICK, counts_like, counts_of, matrix_of, parameters_of, real_counts, same_bits, variants

import scae
from scae.likelihoods import Bernoulli, Parameters
from scae.tl._inputs import query
from scae.transforms import Presence

EVERY = [v for v in variants("likelihood") if isinstance(v, Bernoulli)]


@pytest.fixture
def counts(rng):
    return counts_of(counts_like(rng, 10, 15), dtype="float64")


@pytest.mark.parametrize("likelihood", EVERY, ids=repr)
def test_probability_is_the_product_of_its_factors(likelihood, counts):
    p = parameters_of(likelihood, counts)
    want = torch.sigmoid(p["mean"])
    if likelihood.depth == "library":
        want = -torch.expm1(-p["mean"].exp() * counts.totals() / p.unit)
    if likelihood.depth == "learned":
        want = want * torch.sigmoid(p["depth"])
    if likelihood.bias:
        want = want * torch.sigmoid(p["bias"])
    torch.testing.assert_close(likelihood.mean(p), want, rtol=1e-6, atol=2e-6)  # kept a millionth away from one


@pytest.mark.parametrize("likelihood", EVERY, ids=repr)
@pytest.mark.parametrize("far", [-60.0, 60.0])
def test_extreme_numbers_have_finite_costs_and_slopes(likelihood, far, rng):
    counts = counts_of(counts_like(rng, 4, 6))
    p = parameters_of(likelihood, counts)
    for value in p.raw.values():
        value.data.fill_(far)
    nll = likelihood.nll(p, counts)
    assert nll.isfinite().all()
    assert all(g.isfinite().all() for g in torch.autograd.grad(nll.sum(), list(p.raw.values())))


def test_depth_by_library_is_the_presence_of_poisson_molecules(counts):
    p = parameters_of(Bernoulli(depth="library"), counts)
    poisson = torch.distributions.Poisson(p["mean"].exp() * counts.totals() / p.unit)
    torch.testing.assert_close(1 - Bernoulli(depth="library").mean(p), poisson.log_prob(torch.zeros(())).exp())


@pytest.mark.parametrize("likelihood", EVERY, ids=repr)
def test_a_fit_starts_at_the_share_of_cells_with_the_feature(likelihood, rng):
    x = (rng.random((400, 12)) < np.linspace(0.02, 0.2, 12)).astype(np.float64)
    source = matrix_of(x, dtype="float64")
    start = likelihood.start(source.statistics(np.arange(400), Presence()))
    raw = {"mean": start["mean"].expand(1, -1), "depth": torch.zeros(1, 1), "bias": torch.zeros(12)}
    typical = Parameters(raw, torch.tensor([[5.0]], dtype=torch.float64), 5.0)
    np.testing.assert_allclose(likelihood.mean(typical)[0], x.mean(0), atol=0.01)


def test_a_learned_depth_is_the_cells_own_and_no_part_of_the_latent():
    """PeakVI's cell factor comes from an encoder of its own: the latent decides nothing of it."""
    adata = real_counts()
    model = scae.tl.embed(adata, "peakvi", plan=QUICK, batch_key="batch")
    counts, cells = query(adata, adata.X, model.data).take(np.arange(200))
    with torch.no_grad():
        z = model.encode(counts, cells).z
        one, two = model.decode(z, counts, cells), model.decode(torch.zeros_like(z), counts, cells)
    assert one["depth"].shape == (200, 1)
    assert len(one["depth"].unique()) > 100
    assert same_bits(one["depth"], two["depth"])
    assert not torch.equal(one["mean"], two["mean"])
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert {"heads.cell_encoder.first.weight", "heads.free.bias_"} <= set(model.state_dict())
