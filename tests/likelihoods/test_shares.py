"""Multinomial and Dirichlet-multinomial counts, against SciPy and their draws' own law."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import counts_like, counts_of, parameters_of
from scipy import stats

from scae.likelihoods import NB, DirichletMultinomial, Multinomial, Parameters
from scae.likelihoods.base import whole
from scae.ops.multinomial import multinomial


@pytest.fixture
def counts(rng):
    return counts_of(counts_like(rng, 10, 15), dtype="float64")


def shares(p: Parameters) -> np.ndarray:
    return torch.softmax(p["mean"], 1).detach().numpy()


def test_multinomial_is_scipys(counts):
    p = parameters_of(Multinomial(), counts)
    x = counts.dense().numpy()
    want = [-stats.multinomial.logpmf(row, row.sum(), share) for row, share in zip(x, shares(p), strict=True)]
    np.testing.assert_allclose(Multinomial().nll(p, counts).detach(), want, rtol=1e-9)


@pytest.mark.parametrize("log_alpha", [-2.0, 1.0, 7.0])
def test_dirichlet_multinomial_is_scipys(log_alpha, counts):
    p = parameters_of(DirichletMultinomial(), counts)
    p.raw["precision"].data.fill_(log_alpha)
    alpha, x = np.exp(log_alpha) * shares(p), counts.dense().numpy().astype(int)
    want = [-stats.dirichlet_multinomial.logpmf(row, a, row.sum()) for row, a in zip(x, alpha, strict=True)]
    np.testing.assert_allclose(DirichletMultinomial().nll(p, counts).detach(), want, rtol=1e-9)


def test_without_overdispersion_it_is_the_multinomial(counts):
    p = parameters_of(DirichletMultinomial(), counts)
    p.raw["precision"].data.fill_(16.0)
    torch.testing.assert_close(DirichletMultinomial().nll(p, counts), Multinomial().nll(p, counts), rtol=1e-5, atol=0)


@pytest.mark.parametrize("likelihood", [Multinomial(), DirichletMultinomial()], ids=repr)
def test_a_constant_added_to_all_logits_changes_nothing(likelihood, counts):
    p = parameters_of(likelihood, counts)
    moved = Parameters({**p.raw, "mean": p["mean"] + 3.0}, p.library, p.unit)
    torch.testing.assert_close(likelihood.nll(moved, counts), likelihood.nll(p, counts))
    torch.testing.assert_close(likelihood.mean(p).sum(1, keepdim=True), p.library)


@pytest.mark.parametrize("genes", [1, 2, 7, 64, 65])
def test_scattered_molecules_are_multinomial(genes, rng):
    n, total = 8000, 60.0
    share = torch.from_numpy(rng.dirichlet(np.full(genes, 0.5)))
    drawn = multinomial(torch.full((n,), total), share.expand(n, -1), torch.Generator().manual_seed(0)).numpy()
    assert (drawn.sum(1) == total).all()
    law = stats.multinomial(total, share.numpy())
    spread = np.sqrt(np.diag(law.cov()) / n) + 1e-9
    assert (np.abs(drawn.mean(0) - total * share.numpy()) < 6 * spread + 1e-6).all()
    np.testing.assert_allclose(np.cov(drawn.T).reshape(genes, genes), law.cov(), atol=0.07 * total)


def test_totals_that_are_not_whole_are_so_in_the_mean():
    drawn = whole(torch.full((20_000,), 7.3), torch.Generator().manual_seed(0))
    assert set(drawn.tolist()) == {7.0, 8.0}
    assert float(drawn.mean()) == pytest.approx(7.3, abs=0.02)


def test_dirichlet_multinomial_draws_spread_as_they_should():
    """The variance of a gene is n p (1 − p) (n + α) / (1 + α)."""
    n, alpha, cells = 50.0, 3.0, 20_000
    logits = torch.tensor([[0.0, 1.0, -1.0, 0.5]], dtype=torch.float64).expand(cells, -1)
    raw = {"mean": logits, "precision": torch.tensor([alpha]).log().double()}
    drawn = DirichletMultinomial().sample(
        Parameters(raw, torch.full((cells, 1), n).double(), 1.0), torch.Generator().manual_seed(0)
    )
    share = torch.softmax(logits[0], 0)
    torch.testing.assert_close(drawn.var(0), n * share * (1 - share) * (n + alpha) / (1 + alpha), rtol=0.05, atol=0)


def test_poisson_counts_given_their_total_are_multinomial(counts):
    """Which is why a Poisson and a multinomial fit to the same shares."""
    p = parameters_of(NB(), counts)
    mu, x = NB().mean(p).detach(), counts.dense()
    total = torch.distributions.Poisson(mu.sum(1)).log_prob(x.sum(1))
    given = torch.distributions.Poisson(mu).log_prob(x).sum(1) - total
    torch.testing.assert_close(-Multinomial().nll(p, counts).detach(), given)
