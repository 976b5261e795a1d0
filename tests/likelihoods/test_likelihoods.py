"""What every likelihood in the catalogue must keep, with every choice of its options."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import batch_of, counts_like, parameters_of, variants

from scae.likelihoods import NB, ZINB, GaussianLikelihood, Parameters, Student
from scae.likelihoods.base import LINKS

ALL = variants("likelihood")
every = pytest.mark.parametrize("likelihood", ALL, ids=repr)


@pytest.fixture
def batch(rng):
    return batch_of(counts_like(rng, 10, 15), dtype="float64")


@every
def test_nll_is_minus_the_log_probability(likelihood, batch):
    p = parameters_of(likelihood, batch)
    want = -likelihood.dist(p).log_prob(likelihood.target(batch).dense())
    assert want.shape == (len(batch),)
    torch.testing.assert_close(likelihood.nll(p, batch), want, rtol=1e-9, atol=0)


@every
def test_mean_is_the_distributions(likelihood, batch):
    p = parameters_of(likelihood, batch)
    torch.testing.assert_close(likelihood.mean(p), likelihood.dist(p).mean, rtol=1e-9, atol=0)


@every
def test_mean_is_that_of_many_draws(likelihood, batch):
    p = parameters_of(likelihood, batch)
    draw = torch.Generator().manual_seed(3)
    draws = torch.stack([likelihood.sample(p, draw) for _ in range(2000)]).detach()
    error = draws.std(0) / len(draws) ** 0.5 + 1e-3
    z = (draws.mean(0) - likelihood.mean(p).detach()) / error
    assert z.abs().max() < 6, "no draw's mean lies six standard errors from the mean"
    assert z.abs().mean() < 1.1, "nor do they stray more than chance has them"


@every
def test_draws_come_from_the_generator_alone(likelihood, batch):
    p = parameters_of(likelihood, batch)
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    one, same, other = (likelihood.sample(p, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


@every
def test_draws_of_counts_are_whole(likelihood, batch):
    drawn = likelihood.sample(parameters_of(likelihood, batch), torch.Generator().manual_seed(0)).detach()
    assert drawn.shape == (len(batch), batch.n_genes)
    assert isinstance(likelihood, GaussianLikelihood | Student) or bool(((drawn >= 0) & (drawn == drawn.round())).all())


@every
def test_cells_are_scored_apart(likelihood, rng):
    """A cell's cost does not depend on the cells beside it."""
    x = counts_like(rng, 6, 8)
    batch = batch_of(x, dtype="float64")
    p = parameters_of(likelihood, batch)
    first = {k: v[:1] if v.dim() == 2 else v for k, v in p.raw.items()}
    alone = likelihood.nll(Parameters(first, batch.library[:1], p.unit), batch_of(x[:1], dtype="float64"))
    torch.testing.assert_close(alone, likelihood.nll(p, batch)[:1])


@pytest.mark.parametrize("dispersion", ["gene", "gene-cell"])
def test_zinb_without_inflation_is_nb(dispersion, batch):
    p = parameters_of(ZINB(dispersion=dispersion), batch)
    p.raw["zero"].data.fill_(-60.0)
    torch.testing.assert_close(
        ZINB(dispersion=dispersion).nll(p, batch), NB(dispersion=dispersion).nll(p, batch), rtol=1e-9, atol=0
    )


def test_zinb_mean_includes_the_inflation(batch):
    p = parameters_of(ZINB(), batch)
    torch.testing.assert_close(ZINB().mean(p), NB().mean(p) * torch.sigmoid(-p["zero"]), rtol=1e-9, atol=0)


def test_nb_without_overdispersion_is_poisson(batch):
    p = parameters_of(NB(), batch)
    p.raw["dispersion"].data.fill_(100.0)
    poisson = torch.distributions.Poisson(NB().mean(p)).log_prob(batch.dense()).sum(1)
    torch.testing.assert_close(NB().nll(p, batch), -poisson, rtol=1e-6, atol=0)


@pytest.mark.parametrize("log_sd", [-20.0, 0.0, 20.0])
def test_gaussian_draws_have_the_distributions_spread(log_sd, batch):
    likelihood = GaussianLikelihood()
    p = parameters_of(likelihood, batch)
    p.raw["mean"].data.zero_()
    p.raw["log_sd"].data.fill_(log_sd)
    draw = torch.Generator().manual_seed(0)
    drawn = torch.cat([likelihood.sample(p, draw) for _ in range(40)]).detach()
    torch.testing.assert_close(drawn.std(), likelihood.dist(p).stddev[0, 0].detach(), rtol=0.1, atol=0)


@pytest.mark.parametrize("link", LINKS)
def test_links_scale_with_exposure_and_start_at_the_data(link, rng):
    """Twice the library is twice the mean; the starting bias alone gives each gene its mean."""
    from helpers import matrix_of

    from scae.transforms import Identity

    x = counts_like(rng, 300, 20)
    source = matrix_of(x, dtype="float64")
    raw = LINKS[link].start(source.statistics(np.arange(300), Identity())).expand(1, -1)
    unit = float(x.sum(1).mean())
    one, two = (
        LINKS[link].log_mean(raw, Parameters({}, torch.tensor([[library]], dtype=torch.float64), unit)).exp()
        for library in (unit, 2 * unit)
    )
    torch.testing.assert_close(two, 2 * one)
    torch.testing.assert_close(one[0], torch.from_numpy(x.mean(0)).double(), rtol=0.02, atol=0.01)
