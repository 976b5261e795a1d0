"""What every likelihood in the catalogue must keep, with every choice of its options."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import QUICK, batch_of, counts_like, parameters_of, variants
from scipy import stats
from scipy.special import gammaln

import scae
from scae.errors import CountsError
from scae.likelihoods import NB, ZINB, GaussianLikelihood, Parameters, QuasiNB, Student
from scae.likelihoods.base import LINKS
from scae.transforms import Identity

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


def fractional(adata):
    """Counts after a made-up correction: nine tenths of each, and a third less where it is one."""
    adata.X = adata.X * 0.9
    adata.X.data[adata.X.data < 1] = 0.6
    return adata


def test_quasi_counts_cost_what_the_gamma_function_says(rng):
    x = counts_like(rng, 6, 9) * 0.77
    batch = batch_of(x, dtype="float64")
    p = parameters_of(QuasiNB(), batch)
    mu, theta = QuasiNB().mean(p).detach().numpy(), p["dispersion"].detach().exp().numpy()
    x = batch.dense().numpy()
    ways = gammaln(x + theta) - gammaln(theta) - gammaln(x + 1)
    want = -(ways + theta * np.log(theta / (theta + mu)) + x * np.log(mu / (theta + mu))).sum(1)
    np.testing.assert_allclose(QuasiNB().nll(p, batch).detach(), want, rtol=1e-9)
    whole = batch_of(np.rint(x), dtype="float64")
    assert torch.equal(QuasiNB().nll(p, whole), NB().nll(p, whole))


def test_quasi_counts_are_fitted_by_explicit_choice_only(pbmc):
    fractional(pbmc)
    with pytest.raises(CountsError, match=r"not whole.*'quasi_nb'"):
        scae.tl.fit(pbmc, plan=QUICK)
    assert not scae.check(pbmc).ok
    assert scae.check(pbmc, fractions=True).ok
    spec = replace(scae.presets.find("vae").spec, likelihood=QuasiNB())
    scae.tl.embed(pbmc, scae.tl.denoise(pbmc, spec, plan=QUICK))
    assert np.isfinite(pbmc.obsm["X_scae"]).all()
    np.testing.assert_allclose(pbmc.layers["denoised"].sum(1), np.asarray(pbmc.X.sum(1)).ravel(), rtol=1e-4)
    pbmc.X = -pbmc.X
    with pytest.raises(CountsError, match="negative"):
        scae.tl.fit(pbmc, spec, plan=QUICK)


@pytest.mark.parametrize("likelihood", [GaussianLikelihood(), Student()], ids=repr)
def test_values_normalised_before_are_modelled_as_they_are(likelihood, pbmc):
    pbmc.X = pbmc.X.log1p()
    with pytest.raises(CountsError, match="not whole"):
        scae.tl.fit(pbmc, scae.ModelSpec(likelihood=likelihood), plan=QUICK)
    with pytest.warns(UserWarning, match="looks log-normalised"):
        scae.tl.embed(pbmc, scae.ModelSpec(transform=Identity(), likelihood=likelihood), plan=QUICK)
    assert np.isfinite(pbmc.obsm["X_scae"]).all()


@pytest.mark.parametrize("df", [3.0, 30.0])
def test_student_is_scipys(df, batch):
    likelihood = Student(df=df)
    p = parameters_of(likelihood, batch)
    assert "df" not in p.raw
    law = stats.t(df, loc=p["mean"].detach(), scale=p["log_sd"].detach().exp())
    np.testing.assert_allclose(likelihood.nll(p, batch).detach(), -law.logpdf(batch.dense()).sum(1), rtol=1e-9)
    draw = torch.Generator().manual_seed(0)
    drawn = torch.stack([likelihood.sample(p, draw)[0, 0] for _ in range(3000)]).detach()
    mean, sd = float(p["mean"].detach()[0, 0]), float(p["log_sd"].detach().exp())
    assert stats.kstest((drawn - mean) / sd, stats.t(df).cdf).pvalue > 1e-4


def test_student_with_many_degrees_of_freedom_is_gaussian(batch):
    p = parameters_of(GaussianLikelihood(), batch)
    torch.testing.assert_close(Student(df=1e6).nll(p, batch), GaussianLikelihood().nll(p, batch), rtol=1e-3, atol=0)


@pytest.mark.parametrize("likelihood", [NB(dispersion="gene-batch"), ZINB(dispersion="gene-batch")], ids=repr)
def test_each_batch_has_its_dispersion(likelihood, pbmc):
    """Decoded at a batch a cell has that batch's; it alone gets the gradient of that batch's cells."""
    model = scae.tl.fit(pbmc, scae.ModelSpec(likelihood=likelihood), plan=QUICK, batch_key="batch", device="cpu")
    theta = model.free["p_dispersion"]
    assert theta.shape == (2, pbmc.n_vars)
    west = np.flatnonzero(pbmc.obs["batch"] == "west")
    batch = scae.tl.inputs.counts(pbmc, model.data).take(west)
    p = model.decode(model.encode(batch).z, batch)
    assert torch.equal(p["dispersion"], theta[1].expand(len(west), -1))
    (slope,) = torch.autograd.grad(likelihood.nll(p, batch).sum(), theta)
    assert not slope[0].any()
    assert slope[1].all()
    scae.tl.dispersion(pbmc, model)
    table = pbmc.varm["dispersion"]
    assert table.columns.tolist() == ["east", "west"]
    np.testing.assert_allclose(table["west"], theta[1].detach().exp(), rtol=1e-6)
    assert not np.allclose(table["west"], table["east"], rtol=1e-3)


def test_without_a_batch_key_it_is_one_dispersion_a_gene(pbmc):
    one, two = (
        scae.tl.fit(pbmc, scae.ModelSpec(likelihood=NB(dispersion=d)), plan=QUICK, device="cpu") for d in ("gene", "gene-batch")
    )
    for model in (one, two):
        scae.tl.dispersion(pbmc, model, key_added=model.spec.likelihood.dispersion)
    np.testing.assert_array_equal(pbmc.var["gene"], pbmc.var["gene-batch"])
