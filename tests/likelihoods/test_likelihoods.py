"""What every likelihood in the catalogue must keep, with every choice of its options."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import QUICK, counts_like, counts_of, matrix_of, parameters_of, variants
from scipy import stats
from scipy.special import gammaln

import scae
from scae.errors import CountsError
from scae.likelihoods import NB, ZINB, GaussianLikelihood, Parameters, QuasiNB, Student
from scae.likelihoods.base import LINKS
from scae.records import EncoderInput
from scae.tl._inputs import query
from scae.transforms import Normalized

ALL = variants("likelihood")
every = pytest.mark.parametrize("likelihood", ALL, ids=repr)


@pytest.fixture
def counts(rng):
    return counts_of(counts_like(rng, 10, 15), dtype="float64")


@every
def test_nll_is_minus_the_log_probability(likelihood, counts):
    p = parameters_of(likelihood, counts)
    want = -likelihood.dist(p).log_prob(likelihood.observed(counts))
    assert want.shape == (len(counts),)
    torch.testing.assert_close(likelihood.nll(p, counts), want, rtol=1e-9, atol=0)


@every
def test_mean_is_the_distributions(likelihood, counts):
    p = parameters_of(likelihood, counts)
    torch.testing.assert_close(likelihood.mean(p), likelihood.dist(p).mean, rtol=1e-9, atol=0)


@every
def test_mean_is_that_of_many_draws(likelihood, counts):
    p = parameters_of(likelihood, counts)
    draw = torch.Generator().manual_seed(3)
    draws = torch.stack([likelihood.sample(p, draw) for _ in range(2000)]).detach()
    error = draws.std(0) / len(draws) ** 0.5 + 1e-3
    z = (draws.mean(0) - likelihood.mean(p).detach()) / error
    assert z.abs().max() < 6, "no draw's mean lies six standard errors from the mean"
    assert z.abs().mean() < 1.1, "nor do they stray more than chance has them"


@every
def test_draws_come_from_the_generator_alone(likelihood, counts):
    p = parameters_of(likelihood, counts)
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    one, same, other = (likelihood.sample(p, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


@every
def test_draws_of_counts_are_whole(likelihood, counts):
    drawn = likelihood.sample(parameters_of(likelihood, counts), torch.Generator().manual_seed(0)).detach()
    assert drawn.shape == (len(counts), counts.n_genes)
    assert isinstance(likelihood, GaussianLikelihood | Student) or bool(((drawn >= 0) & (drawn == drawn.round())).all())


@every
def test_cells_are_scored_apart(likelihood, rng):
    """A cell's cost does not depend on the cells beside it."""
    x = counts_like(rng, 6, 8)
    counts = counts_of(x, dtype="float64")
    p = parameters_of(likelihood, counts)
    first = {k: v[:1] if v.dim() == 2 else v for k, v in p.raw.items()}
    alone = likelihood.nll(Parameters(first, counts.totals()[:1], p.unit), counts_of(x[:1], dtype="float64"))
    torch.testing.assert_close(alone, likelihood.nll(p, counts)[:1])


@pytest.mark.parametrize("dispersion", ["gene", "gene-cell"])
def test_zinb_without_inflation_is_nb(dispersion, counts):
    p = parameters_of(ZINB(dispersion=dispersion), counts)
    p.raw["zero"].data.fill_(-60.0)
    torch.testing.assert_close(
        ZINB(dispersion=dispersion).nll(p, counts), NB(dispersion=dispersion).nll(p, counts), rtol=1e-9, atol=0
    )


def test_zinb_mean_includes_the_inflation(counts):
    p = parameters_of(ZINB(), counts)
    torch.testing.assert_close(ZINB().mean(p), NB().mean(p) * torch.sigmoid(-p["zero"]), rtol=1e-9, atol=0)


def test_nb_without_overdispersion_is_poisson(counts):
    p = parameters_of(NB(), counts)
    p.raw["dispersion"].data.fill_(100.0)
    poisson = torch.distributions.Poisson(NB().mean(p)).log_prob(counts.dense()).sum(1)
    torch.testing.assert_close(NB().nll(p, counts), -poisson, rtol=1e-6, atol=0)


@pytest.mark.parametrize("log_sd", [-20.0, 0.0, 20.0])
def test_gaussian_draws_have_the_distributions_spread(log_sd, counts):
    likelihood = GaussianLikelihood()
    p = parameters_of(likelihood, counts)
    p.raw["mean"].data.zero_()
    p.raw["log_sd"].data.fill_(log_sd)
    draw = torch.Generator().manual_seed(0)
    drawn = torch.cat([likelihood.sample(p, draw) for _ in range(40)]).detach()
    torch.testing.assert_close(drawn.std(), likelihood.dist(p).stddev[0, 0].detach(), rtol=0.1, atol=0)


@pytest.mark.parametrize("link", LINKS)
def test_links_scale_with_exposure_and_start_at_the_data(link, rng):
    """Twice the library is twice the mean; the starting bias alone gives each gene its mean."""
    x = counts_like(rng, 300, 20)
    source = matrix_of(x, dtype="float64")
    raw = LINKS[link].start(source.statistics(np.arange(300), Normalized(target_sum=None, log=False))).expand(1, -1)
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
    counts = counts_of(x, dtype="float64")
    p = parameters_of(QuasiNB(), counts)
    mu, theta = QuasiNB().mean(p).detach().numpy(), p["dispersion"].detach().exp().numpy()
    x = counts.dense().numpy()
    ways = gammaln(x + theta) - gammaln(theta) - gammaln(x + 1)
    want = -(ways + theta * np.log(theta / (theta + mu)) + x * np.log(mu / (theta + mu))).sum(1)
    np.testing.assert_allclose(QuasiNB().nll(p, counts).detach(), want, rtol=1e-9)
    whole = counts_of(np.rint(x), dtype="float64")
    assert torch.equal(QuasiNB().nll(p, whole), NB().nll(p, whole))


def test_quasi_counts_are_fitted_by_explicit_choice_only(pbmc):
    del pbmc.layers["counts"]  # which would be found
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
    del pbmc.layers["counts"]
    pbmc.X = pbmc.X.log1p()
    with pytest.raises(CountsError, match="not whole"):
        scae.tl.fit(pbmc, scae.ModelSpec(likelihood=likelihood), plan=QUICK)
    with pytest.warns(UserWarning, match="looks log-normalised"):
        scae.tl.embed(pbmc, scae.ModelSpec(transform=Normalized(target_sum=None, log=False), likelihood=likelihood), plan=QUICK)
    assert np.isfinite(pbmc.obsm["X_scae"]).all()


@pytest.mark.parametrize("df", [3.0, 30.0])
def test_student_is_scipys(df, counts):
    likelihood = Student(df=df)
    p = parameters_of(likelihood, counts)
    assert "df" not in p.raw
    law = stats.t(df, loc=p["mean"].detach(), scale=p["log_sd"].detach().exp())
    np.testing.assert_allclose(likelihood.nll(p, counts).detach(), -law.logpdf(counts.dense()).sum(1), rtol=1e-9)
    draw = torch.Generator().manual_seed(0)
    drawn = torch.stack([likelihood.sample(p, draw)[0, 0] for _ in range(3000)]).detach()
    mean, sd = float(p["mean"].detach()[0, 0]), float(p["log_sd"].detach().exp())
    assert stats.kstest((drawn - mean) / sd, stats.t(df).cdf).pvalue > 1e-4


def test_student_with_many_degrees_of_freedom_is_gaussian(counts):
    p = parameters_of(GaussianLikelihood(), counts)
    torch.testing.assert_close(Student(df=1e6).nll(p, counts), GaussianLikelihood().nll(p, counts), rtol=1e-3, atol=0)


@pytest.mark.parametrize("likelihood", [NB(dispersion="gene-batch"), ZINB(dispersion="gene-batch")], ids=repr)
def test_each_batch_has_its_dispersion(likelihood, pbmc):
    """Decoded at a batch a cell has that batch's; it alone gets the gradient of that batch's cells."""
    model = scae.tl.fit(pbmc, scae.ModelSpec(likelihood=likelihood), plan=QUICK, batch_key="batch", device="cpu")
    theta = model.heads.free["dispersion"]
    assert theta.shape == (2, pbmc.n_vars)
    west = np.flatnonzero(pbmc.obs["batch"] == "west")
    counts, cells = query(pbmc, pbmc.X, model.data).take(west)
    p = model.decode(model.encode(counts, cells).z, counts, cells)
    assert torch.equal(p["dispersion"], theta[1].expand(len(west), -1))
    (slope,) = torch.autograd.grad(likelihood.nll(p, counts).sum(), theta)
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


def test_a_weight_of_the_mean_squared_error_is_a_fixed_standard_deviation(counts):
    """The loss is the weighted error plus a constant, and no standard deviation is learned."""
    likelihood = GaussianLikelihood(mse_weight=100.0)
    p = parameters_of(likelihood, counts)
    assert set(p.raw) == {"mean"}
    seen = EncoderInput(counts)
    error = (p["mean"] - seen.dense()).square().mean(1)
    nll = likelihood.nll(p, seen)
    torch.testing.assert_close(nll - 100 * error, (nll - 100 * error).mean().expand_as(nll), rtol=1e-9, atol=0)
    torch.testing.assert_close(nll, -likelihood.dist(p).log_prob(seen.dense()), rtol=1e-9, atol=0)
