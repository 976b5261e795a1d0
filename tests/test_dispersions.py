"""Factors of θ: found again in simulated counts, shrunk where genes say little, stored with the model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from anndata import AnnData
from helpers import QUICK, counts_like, matrix_of
from scipy import stats

import scae
from scae.dispersions import _FACTORS, shrunk, theta_factor
from scae.halves import halves
from scae.tl._fit import fitted


@pytest.fixture(scope="module")
def simulated() -> tuple[scae.Autoencoder, AnnData, np.ndarray]:
    """Cells of one kind, whose genes have a mean of 20 and dispersions that the model gets wrong by a known factor."""
    rng = np.random.default_rng(0)
    theta = np.repeat([0.5, 2.0, 8.0], 10)
    adata = AnnData(rng.poisson(rng.gamma(theta, 20 / theta, (1500, 30))).astype(np.float32))
    adata.obs["depth"] = 600.0
    model = scae.tl.fit(adata, size_factor="depth", plan=QUICK)
    with torch.no_grad():  # a decoder that says the same of all cells, and one θ for all genes
        decoder = model.heads.decoders[0]
        for p in decoder.parameters():
            p.zero_()
        model.heads.free["dispersion"].fill_(float(np.log(4.0)))
    return model, adata, theta / 4.0


def test_factors_of_simulated_counts_are_found_again(simulated):
    model, adata, want = simulated
    found = np.array(theta_factor(model, fitted(adata, model, {})[1]))
    assert np.abs(np.log(found / want)).max() < 0.25
    other = np.array(theta_factor(model, fitted(adata, model, {})[1], seed=1))
    assert np.abs(np.log(found / other)).max() < 0.1


def test_genes_with_few_molecules_follow_the_trend(rng):
    """Curves of a gene that says nothing are flat: its factor is that of genes with the same mean."""
    curves = np.tile(-200 * (np.log(_FACTORS) - np.log(3.0)) ** 2, (60, 1))
    curves[30] = 0
    curves += rng.normal(0, 1e-3, curves.shape)
    np.testing.assert_allclose(np.exp(shrunk(curves, np.full(60, 2.0))), 3.0, rtol=0.05)


def test_genes_with_many_molecules_keep_their_own():
    own = np.exp(np.linspace(-2, 2, 80))
    curves = -5000 * (np.log(_FACTORS) - np.log(own)[:, None]) ** 2
    np.testing.assert_allclose(np.exp(shrunk(curves, np.geomspace(0.01, 100, 80))), own, rtol=0.05)


@pytest.mark.parametrize(
    ("name", "has"),
    [("nb", True), ("zinb", True), ("poisson", True), ("multinomial", True), ("bernoulli", False), ("gaussian", False)],
)
def test_likelihoods_of_rates_have_one_factor_per_gene(name, has, rng, tmp_path):
    adata = AnnData(counts_like(rng, 80, 12))
    model = scae.tl.fit(adata, scae.ModelSpec(likelihood=scae.parts.find("likelihood", name)()), plan=QUICK)
    factor = model.fitted["theta_factor"]
    assert (factor is not None) is has
    if has:
        assert len(factor) == 12
        assert all(f > 0 for f in factor)
    model.save(tmp_path / "m.scae")
    assert scae.load(tmp_path / "m.scae").fitted["theta_factor"] == factor


def test_dispersions_of_batches_and_of_cells_have_factors(pbmc):
    for how in ("gene-batch", "gene-cell"):
        nb = scae.parts.find("likelihood", "nb")(dispersion=how)
        model = scae.tl.fit(pbmc, scae.ModelSpec(likelihood=nb), batch_key="batch", plan=QUICK)
        assert len(model.fitted["theta_factor"]) == len(model.data.genes)


def test_halves_have_the_molecules_and_the_exposure_of_the_whole(rng):
    dense = counts_like(rng, 200, 9, mean=3.0)
    source = matrix_of(dense)
    one, two = halves(source, 0)
    a, b = (half.take(np.arange(len(half)))[0].dense().numpy() for half in (one, two))
    assert len(one) == len(two)
    whole = (a + b)[:, None] == dense[None]
    assert whole.all(-1).any(1).all()
    np.testing.assert_allclose(one.library[:, 0], a.sum(1), rtol=1e-5)
    assert stats.binomtest(int(a.sum()), int((a + b).sum()), 0.5).pvalue > 1e-3


def test_fractions_cannot_be_halved(rng):
    assert halves(matrix_of(counts_like(rng, 20, 5) + 0.5), 0) is None
