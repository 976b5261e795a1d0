"""Sparse losses against their distribution, against 50 digits, and numba against torch."""

from __future__ import annotations

import math

import mpmath as mp
import pytest
import torch
from helpers import counts_like, counts_of, parameters_of, same_bits
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import softplus

from scae import threads
from scae.likelihoods import (
    NB,
    ZINB,
    Bernoulli,
    DirichletMultinomial,
    GaussianLikelihood,
    Multinomial,
    Poisson,
    QuasiNB,
)
from scae.likelihoods.base import LINKS
from scae.ops.bernoulli import bernoulli_nll, probability_nll
from scae.ops.nb import _put_numba, _put_torch, nb_nll
from scae.ops.poisson import poisson_nll, presence_nll
from scae.ops.sparse_cost import SparseCost

FAST = [
    *(NB(link=link, dispersion=d) for link in LINKS for d in ("gene", "gene-cell", "gene-batch")),
    *(ZINB(link=link, dispersion=d) for link in LINKS for d in ("gene", "gene-cell", "gene-batch")),
    *(Poisson(link=link) for link in LINKS),
    *(GaussianLikelihood(target_scale=t, sd=sd) for t in ("input", "counts") for sd in ("gene", "shared")),
    *(Bernoulli(depth=d, bias=b) for d in ("none", "library", "learned") for b in (False, True)),
    Multinomial(),
    DirichletMultinomial(),
    QuasiNB(),
]


def log_uniform(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(math.log(low), math.log(high))


COUNTS = st.one_of(st.just(0), st.integers(1, 15), st.floats(0, math.log(1e6)).map(lambda v: int(math.exp(v))))
LOG_MU, LOG_THETA = log_uniform(1e-12, 1e7), log_uniform(1e-6, 1e8)


def spread(rng, cells: int = 12, genes: int = 30):
    """Counts from 0 to thousands."""
    return counts_like(rng, cells, genes) * rng.choice([1, 1, 1, 40, 2000], (cells, genes))


def one(x: float, dtype: torch.dtype):
    """A batch of one cell and one gene."""
    return counts_of([[x]], dtype={torch.float32: "float32", torch.float64: "float64"}[dtype])


@pytest.mark.parametrize("likelihood", FAST, ids=repr)
def test_nll_and_gradient_equal_the_distribution(likelihood, rng):
    """float64, θ from 1e-3 to 1e2: the fused kernel and the definition are the same number with the same slope."""
    counts = counts_of(spread(rng), dtype="float64")
    p = parameters_of(likelihood, counts)
    if "dispersion" in p.raw:
        p.raw["dispersion"].data.uniform_(math.log(1e-3), math.log(1e2), generator=torch.Generator().manual_seed(1))
    weight = torch.linspace(0.5, 2, len(counts), dtype=torch.float64)
    fast, slow = likelihood.nll(p, counts), -likelihood.dist(p).log_prob(likelihood.observed(counts))
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=0)
    names = list(p.raw)
    got, want = (torch.autograd.grad(nll @ weight, [p.raw[n] for n in names]) for nll in (fast, slow))
    for name, g, w in zip(names, got, want, strict=True):
        torch.testing.assert_close(g, w, rtol=1e-9, atol=1e-9 * float(w.abs().max()), msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize("likelihood", FAST, ids=repr)
def test_gradcheck(likelihood, rng):
    counts = counts_of(counts_like(rng, 3, 4), dtype="float64")
    p = parameters_of(likelihood, counts)
    raw = tuple(p.raw.values())
    assert torch.autograd.gradcheck(
        lambda *raw: likelihood.nll(type(p)(dict(zip(p.raw, raw, strict=True)), p.library, p.unit), counts), raw
    )


def exact_nb(x: int, log_mu: float, log_theta: float) -> mp.mpf:
    theta, mu = mp.exp(mp.mpf(log_theta)), mp.exp(mp.mpf(log_mu))
    gammas = mp.loggamma(x + theta) - mp.loggamma(theta) - mp.loggamma(x + 1)
    return -(gammas - theta * mp.log1p(mu / theta) + x * (mp.log(mu) - mp.log(theta + mu)))


def exact_poisson(x: int, log_mu: float) -> mp.mpf:
    return mp.exp(mp.mpf(log_mu)) - x * mp.mpf(log_mu) + mp.loggamma(x + 1)


@pytest.mark.parametrize(("dtype", "relative"), [(torch.float64, 1e-9), (torch.float32, 1e-5)], ids=str)
@given(x=COUNTS, log_mu=LOG_MU, log_theta=LOG_THETA)
def test_nb_against_50_digits(dtype, relative, x, log_mu, log_theta):
    mu, theta = torch.tensor([[log_mu]], dtype=dtype), torch.tensor([log_theta], dtype=dtype)
    got = float(nb_nll(mu, theta, one(x, dtype)))
    with mp.workdps(70):
        exact = exact_nb(x, float(mu), float(theta))
        assert abs(mp.mpf(got) - exact) <= max(relative * abs(exact), mp.mpf("1e-12"))


@pytest.mark.parametrize(("dtype", "relative"), [(torch.float64, 1e-9), (torch.float32, 1e-5)], ids=str)
@given(x=COUNTS, log_mu=LOG_MU)
def test_poisson_against_50_digits(dtype, relative, x, log_mu):
    mu = torch.tensor([[log_mu]], dtype=dtype)
    got = float(poisson_nll(mu, one(x, dtype)))
    with mp.workdps(70):
        exact = exact_poisson(x, float(mu))
        assert abs(mp.mpf(got) - exact) <= max(relative * abs(exact), mp.mpf("1e-12"))


@pytest.mark.parametrize(("dtype", "relative"), [(torch.float64, 1e-9), (torch.float32, 1e-5)], ids=str)
@given(x=st.integers(0, 3), log_mu=LOG_MU)
def test_presence_against_50_digits(dtype, relative, x, log_mu):
    eta = torch.tensor([[log_mu]], dtype=dtype)
    got = float(presence_nll(eta, one(x, dtype)))
    with mp.workdps(70):
        mu = mp.exp(mp.mpf(float(eta)))
        exact = mu if x == 0 else -mp.log1p(-mp.exp(-mu)) if mu < 100 else mp.exp(-mu)
        assert abs(mp.mpf(got) - exact) <= max(relative * abs(exact), mp.mpf("1e-12"))


@pytest.mark.parametrize("cost", [poisson_nll, presence_nll, bernoulli_nll, probability_nll])
def test_costs_off_the_cpu_equal_those_of_the_kernel(cost: SparseCost):
    raw = -torch.linspace(20, 0.01, 60, dtype=torch.float64)[:, None].requires_grad_()
    x = torch.arange(60.0, dtype=torch.float64) % 7 + 1
    here = cost(raw, counts_of(x[:, None].numpy(), dtype="float64"))
    there, slope = cost.at(raw.detach()[:, 0], x)
    torch.testing.assert_close(there, here.detach(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(slope, torch.autograd.grad(here.sum(), raw)[0][:, 0], rtol=1e-9, atol=1e-12)


@given(x=st.integers(1, 10**6), log_theta=LOG_THETA, gap=st.floats(-1e-3, 1e-3))
def test_nb_near_its_mean_keeps_its_digits(x, log_theta, gap):
    """Where μ ≈ x the textbook form cancels most."""
    mu, theta = torch.tensor([[math.log(x) + gap]], dtype=torch.float64), torch.tensor([log_theta], dtype=torch.float64)
    with mp.workdps(70):
        exact = exact_nb(x, float(mu), float(theta))
        assert abs(mp.mpf(float(nb_nll(mu, theta, one(x, torch.float64)))) - exact) <= 1e-9 * abs(exact)


@pytest.mark.parametrize("per_gene", [True, False], ids=["gene", "gene-cell"])
def test_the_torch_path_equals_the_numba_path(per_gene, rng):
    """The path that a GPU takes, on tensors of the CPU."""
    counts = counts_of(spread(rng), dtype="float64")
    draw = torch.Generator().manual_seed(0)
    log_mu = torch.empty(len(counts), counts.n_genes, dtype=torch.float64).uniform_(-10, 10, generator=draw)
    log_theta = torch.empty(log_mu.shape[1:] if per_gene else log_mu.shape, dtype=torch.float64).uniform_(-7, 7, generator=draw)
    zeros = softplus(log_mu - log_theta) * log_theta.exp()  # the caller fills in what zeros cost, and its slopes
    slope = (log_mu - log_theta).sigmoid() * log_theta.exp()
    numba, by_torch = ([zeros.clone(), slope.clone(), zeros - slope] for _ in range(2))
    _put_numba(counts, log_mu, log_theta, log_theta.exp(), *numba)
    _put_torch(counts, log_mu, log_theta, log_theta.exp(), *by_torch)
    for a, b in zip(numba, by_torch, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)
    assert not torch.equal(numba[0], zeros)


@pytest.mark.parametrize("likelihood", FAST, ids=repr)
def test_every_device_agrees_with_the_cpu(likelihood, device, rng):
    counts = counts_of(spread(rng), dtype="float32")
    p = parameters_of(likelihood, counts)
    moved = type(p)({k: v.detach().to(device).requires_grad_() for k, v in p.raw.items()}, p.library.to(device), p.unit)
    here, there = likelihood.nll(p, counts), likelihood.nll(moved, counts.to(device))
    torch.testing.assert_close(there.cpu(), here, rtol=1e-4, atol=1e-4)
    here.sum().backward()
    there.sum().backward()
    for name in p.raw:
        scale = float(p.raw[name].grad.abs().max())
        torch.testing.assert_close(moved.raw[name].grad.cpu(), p.raw[name].grad, rtol=1e-4, atol=1e-4 * scale)


@pytest.mark.parametrize("likelihood", FAST, ids=repr)
def test_threads_do_not_change_bits(likelihood, rng):
    counts = counts_of(spread(rng, 200, 300))
    p = parameters_of(likelihood, counts)
    results = []
    for n in (1, 2, 4):
        with threads.use(n):
            nll = likelihood.nll(p, counts)
        results.append((nll, *torch.autograd.grad(nll.sum(), list(p.raw.values()))))
    assert all(same_bits(a, b) for other in results[1:] for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 800.0, -800.0])
@pytest.mark.parametrize("x", [1.0, 50.0])
def test_parameters_out_of_range_end_in_a_number(bad, x):
    """A diverging fit must come to a loss that the loop can refuse: no hang, no exception of the compiler's."""
    counts, raw = one(x, torch.float64), torch.tensor([[bad]], dtype=torch.float64)
    nll = [nb_nll(raw, torch.zeros(1).double(), counts), nb_nll(torch.zeros(1, 1).double(), raw[0], counts)]
    nll += [poisson_nll(raw, counts), presence_nll(raw, counts), bernoulli_nll(raw, counts)]
    assert all(value.shape == (1,) for value in nll)
    assert not math.isnan(bad) or all(value.isnan() for value in nll)


@pytest.mark.parametrize("x", [1.0, 12.0, 13.0, 500.0])
@pytest.mark.parametrize("log_mu", [-680.0, -700.0, -5000.0])
def test_a_count_where_next_to_none_is_expected_costs_a_finite_sum(x, log_mu):
    """The cost there is a straight line: −x log μ and what does not depend on μ."""
    counts, eta = one(x, torch.float64), torch.tensor([[log_mu]], dtype=torch.float64, requires_grad=True)
    theta = torch.tensor([0.3], dtype=torch.float64)
    constant = math.lgamma(x + 1)
    poisson = poisson_nll(eta, counts)
    nb = nb_nll(eta, theta.log(), counts)
    gammas = constant - math.lgamma(x + 0.3) + math.lgamma(0.3) + x * math.log(0.3)
    assert poisson.item() == pytest.approx(constant - x * log_mu, rel=1e-12)
    assert nb.item() == pytest.approx(gammas - x * log_mu, rel=1e-12)
    assert torch.autograd.grad(poisson.sum() + nb.sum(), eta)[0].item() == pytest.approx(-2 * x, rel=1e-12)
