"""The fused pass is the definition: its value and gradient, in every likelihood that has one."""

from __future__ import annotations

import math
from dataclasses import replace

import mpmath as mp
import numpy as np
import pytest
import torch
from helpers import counts_like, counts_of, matrix_of, same_bits, same_weights
from hypothesis import given
from hypothesis import strategies as st
from test_losses import COUNTS, LOG_MU, LOG_THETA, exact_nb, exact_poisson, spread

import scae
from scae import threads
from scae.likelihoods import NB, ZINB, Bernoulli, Multinomial, Parameters, Poisson, QuasiNB
from scae.likelihoods.base import LINKS
from scae.ops import fused
from scae.ops.products import product_transposed, transposed_product
from scae.records import Affine
from scae.train import TrainPlan

FUSED = [
    *(cls(link=link, dispersion=d) for cls in (NB, ZINB) for link in LINKS for d in ("gene", "gene-cell", "gene-batch")),
    *(Poisson(link=link) for link in LINKS),
    Bernoulli(),
    Multinomial(),
    QuasiNB(),
]
WIDTH = 5


def leaves(likelihood, cells: int, genes: int, dtype=torch.float64) -> dict[str, tuple[torch.Tensor, ...]]:
    """Hidden layer, weights and bias of each parameter per cell and gene, and values of the others; all take gradients."""
    rng = torch.Generator().manual_seed(0)
    sizes = {"cell×gene": ((cells, WIDTH), (genes, WIDTH), (genes,)), "gene": ((genes,),), "gene×batch": ((cells, genes),)}
    drawn = {name: [torch.randn(s, generator=rng) for s in sizes[axis]] for name, axis in likelihood.parameters().items()}
    return {name: tuple(t.to(dtype).requires_grad_() for t in tensors) for name, tensors in drawn.items()}


def nll(likelihood, made, counts):
    raw = {name: Affine(*tensors) if len(tensors) == 3 else tensors[0] for name, tensors in made.items()}
    p = Parameters(raw, counts.totals(), 20.0)
    weight = torch.linspace(0.5, 2, len(counts), dtype=counts.value.dtype)  # cells need not have the same weight
    cost = likelihood.nll(p, counts)
    return cost, torch.autograd.grad(cost @ weight, [t for tensors in made.values() for t in tensors]), p


@pytest.mark.parametrize("likelihood", FUSED, ids=repr)
def test_value_and_gradient_are_those_of_the_distribution_in_float64(likelihood, rng):
    x = spread(rng, 40, 70)
    x[3] = 0
    got, slopes, p = nll(likelihood, leaves(likelihood, *x.shape, torch.float32), counts_of(x))
    assert fused.takes(*(p.raw[name] for name in likelihood.named("cell×gene")))
    exact = counts_of(x, dtype="float64")
    made = leaves(likelihood, *x.shape)
    _, want_slopes, p = nll(likelihood, made, exact)
    want = -likelihood.dist(p).log_prob(likelihood.observed(exact))
    torch.testing.assert_close(got.double(), want, rtol=5e-6, atol=1e-5)
    for slope, exact_slope in zip(slopes, want_slopes, strict=True):
        torch.testing.assert_close(slope.double(), exact_slope, rtol=1e-5, atol=5e-6 * float(exact_slope.abs().max()))


@pytest.mark.parametrize("likelihood", FUSED, ids=repr)
def test_computed_read_outs_cost_the_same(likelihood, rng):
    """A decoder whose last layer is not linear gives the read-outs themselves."""
    counts = counts_of(counts_like(rng, 9, 20))
    made = leaves(likelihood, 9, 20, torch.float32)
    p = Parameters({n: Affine(*t) if len(t) == 3 else t[0] for n, t in made.items()}, counts.totals(), 20.0)
    computed = replace(p, raw={name: p[name] for name in p.raw})
    flat = [t for tensors in made.values() for t in tensors]
    one, other = likelihood.nll(p, counts), likelihood.nll(computed, counts)
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    pairs = zip(*(torch.autograd.grad(cost.sum(), flat, retain_graph=True) for cost in (one, other)), strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * float(b.abs().max()))


def one(x: float, raw: float):
    return torch.tensor([[raw]], dtype=torch.float32), torch.ones(1, 1), counts_of([[x]])


@given(x=COUNTS, log_mu=LOG_MU, log_theta=LOG_THETA)
def test_nb_against_50_digits(x, log_mu, log_theta):
    raw, exposure, counts = one(x, min(log_mu, 15.0))
    theta = torch.tensor([log_theta])
    got = float(fused.nb(raw, "exp", exposure, theta, counts))
    with mp.workdps(70):
        exact = exact_nb(x, float(raw), float(theta))
        assert abs(mp.mpf(got) - exact) <= max(1e-5 * abs(exact), mp.mpf("1e-12"))


@given(x=COUNTS, log_mu=LOG_MU)
def test_poisson_against_50_digits(x, log_mu):
    raw, exposure, counts = one(x, min(log_mu, 15.0))
    got = float(fused.poisson(raw, "exp", exposure, counts))
    with mp.workdps(70):
        exact = exact_poisson(x, float(raw))
        assert abs(mp.mpf(got) - exact) <= max(1e-5 * abs(exact), mp.mpf("1e-12"))


@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 300))
def test_products_are_torchs(n, k, m):
    rng = torch.Generator().manual_seed(n * m + k)
    a, b, bias = (torch.randn(s, generator=rng) for s in ((n, k), (m, k), (m,)))
    size = 1e-5 * (1 + math.sqrt(max(n, k)))
    torch.testing.assert_close(product_transposed(a, b, bias), a @ b.T + bias, rtol=1e-5, atol=size)
    c = torch.randn((n, m), generator=rng)
    torch.testing.assert_close(transposed_product(c, a), c.T @ a, rtol=1e-5, atol=size)
    assert transposed_product(c, a).is_contiguous()


@pytest.mark.parametrize("likelihood", [NB(), ZINB(), Poisson(), Bernoulli(), Multinomial()], ids=repr)
def test_threads_do_not_change_bits(likelihood, rng):
    counts = counts_of(counts_like(rng, 64, 600))
    results = []
    for n in (1, 2):
        with threads.use(n):
            cost, slopes, _ = nll(likelihood, leaves(likelihood, 64, 600, torch.float32), counts)
        results.append((cost, *slopes))
    assert all(same_bits(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_read_out_that_is_no_number_is_noticed(bad, rng):
    counts = counts_of(counts_like(rng, 4, 30))
    for likelihood in FUSED:
        made = leaves(likelihood, 4, 30, torch.float32)
        made["mean"][2].data[5] = bad
        cost, slopes, _ = nll(likelihood, made, counts)
        finite = cost.isfinite().all() and all(s.isfinite().all() for s in slopes)
        assert not finite or (bad == math.inf and likelihood.link == "exp"), likelihood


PLAN = TrainPlan(epochs=10, min_steps=1, lr=1e-3, batch_size=64)


@pytest.mark.parametrize("likelihood", [NB(), ZINB()], ids=repr)
def test_a_fit_ends_where_it_does_without_fusing(likelihood, pbmc, monkeypatch):
    """Held-out loss after ten epochs, to a ten-thousandth; and a fit repeats itself to the bit."""
    spec = replace(scae.presets.find("vae").spec, likelihood=likelihood)

    def fitted():
        return scae.tl.fit(pbmc, spec, plan=PLAN, device="cpu")

    quick, again = fitted(), fitted()
    assert same_weights(quick, again)
    monkeypatch.setattr(fused, "takes", lambda *_: False)
    slow = fitted()
    a, b = (model.fitted["history"]["rows"][-1]["held_out"] for model in (quick, slow))
    assert a == pytest.approx(b, rel=1e-4)


def test_cells_without_any_row(rng):
    source = matrix_of(counts_like(rng, 3, 8))
    counts, _ = source.take(np.arange(0))
    cost, slopes, _ = nll(NB(), leaves(NB(), 0, 8, torch.float32), counts)
    assert cost.shape == (0,)
    assert all(not s.any() for s in slopes)
