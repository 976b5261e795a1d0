"""What denoise writes for the posterior of a cell's own counts."""

from __future__ import annotations

import json

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from helpers import QUICK, SHARED
from scipy import stats

import scae
from scae import evaluate
from scae.errors import ConfigError, CountsError, MissingKeyError, ModelFileError
from scae.tl._spike_ins import spike_in_cv2

from .calls import denoised


def theta_of(adata, model) -> np.ndarray:
    scae.tl.dispersion(adata, model)
    return adata.var["dispersion"].to_numpy() * np.array(model.fitted["theta_factor"])


def test_it_is_the_mean_corrected_by_the_count(pbmc, model):
    mu, x = denoised(pbmc, model).astype(float), pbmc.X.toarray()
    theta = theta_of(pbmc, model)
    found = denoised(pbmc, model, kind="posterior", with_sd=True, key_added="cell")
    np.testing.assert_allclose(found, mu * (theta + x) / (theta + mu), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(pbmc.layers["cell_sd"], mu * np.sqrt(theta + x) / (theta + mu), rtol=1e-4, atol=1e-6)
    assert found.dtype == pbmc.layers["cell_sd"].dtype == np.float32
    for name in ("cell", "cell_sd"):
        record = json.loads(pbmc.uns["scae"]["written"][f"layers['{name}']"])
        assert (record["kind"], record["technical_cv2"]) == ("posterior", 0.0)


def test_its_log_mean_is_that_of_new_counts(pbmc, model):
    rate = denoised(pbmc, model, kind="posterior", library_size=500.0).astype(float)
    found = denoised(pbmc, model, kind="posterior_log_mean", library_size=500.0)
    shape = theta_of(pbmc, model) + pbmc.X.toarray()
    k = np.arange(400)
    for cell, gene in ((0, 3), (7, 50), (100, 200)):
        law = stats.nbinom(shape[cell, gene], shape[cell, gene] / (shape[cell, gene] + rate[cell, gene]))
        assert found[cell, gene] == pytest.approx((law.pmf(k) * np.log1p(k * 1e4 / 500)).sum(), rel=1e-4)
    tens = denoised(pbmc, model, kind="posterior_log_mean")
    assert np.array_equal(tens, denoised(pbmc, model, kind="posterior_log_mean", library_size=1e4))


@pytest.mark.parametrize("kind", ["mean", "posterior"])
def test_a_library_size_scales_it(pbmc, model, kind):
    total = np.asarray(pbmc.X.sum(1))
    np.testing.assert_allclose(
        denoised(pbmc, model, kind=kind, library_size=500.0),
        denoised(pbmc, model, kind=kind, key_added="own") * (500 / total),
        rtol=1e-4,
    )


def test_the_latent_adds_to_the_standard_deviation(pbmc, model):
    denoised(pbmc, model, kind="posterior", with_sd=True, key_added="point")
    denoised(pbmc, model, kind="posterior", with_sd=True, key_added="drawn", n_samples=50)
    assert pbmc.layers["drawn_sd"].mean() > pbmc.layers["point_sd"].mean()
    assert np.corrcoef(pbmc.layers["drawn"].ravel(), pbmc.layers["point"].ravel())[0, 1] > 0.99


def test_genes_make_two_tables(pbmc, model):
    scae.tl.denoise(pbmc, model, kind="posterior", with_sd=True, genes=["LYZ", "CD3D"], key_added="cell")
    layer = denoised(pbmc, model, kind="posterior", with_sd=True)
    for name, whole in (("cell", layer), ("cell_sd", pbmc.layers["denoised_sd"])):
        frame = pbmc.obsm[name]
        assert isinstance(frame, pd.DataFrame)
        assert frame.columns.tolist() == ["LYZ", "CD3D"]
        assert np.array_equal(frame.to_numpy(), whole[:, pbmc.var_names.get_indexer(["LYZ", "CD3D"])])


def test_a_reloaded_model_says_the_same(pbmc, model, tmp_path):
    model.save(tmp_path / "m.scae")
    before = denoised(pbmc, model, kind="posterior")
    assert np.array_equal(before, denoised(pbmc, scae.load(tmp_path / "m.scae"), kind="posterior", key_added="again"))


def test_it_does_not_depend_on_the_company(pbmc, model):
    whole = denoised(pbmc, model, kind="posterior")
    some = pbmc[[5, 3, 77]].copy()
    np.testing.assert_allclose(denoised(some, model, kind="posterior"), whole[[5, 3, 77]], rtol=1e-5, atol=1e-7)


def test_genes_that_a_query_lacks_keep_the_mean(pbmc):
    spec = scae.ModelSpec(corruption=scae.parts.find("corruption", "gene_dropout")())
    model = scae.tl.fit(pbmc, spec, plan=QUICK)
    few = pbmc[:, 100:].copy()
    hidden = pbmc.var_names[:3].tolist()
    for kind in ("mean", "posterior"):
        scae.tl.denoise(few, model, kind=kind, genes=hidden, key_added=kind)
    np.testing.assert_allclose(few.obsm["posterior"], few.obsm["mean"], rtol=1e-4)


def test_presence_has_one(pbmc):
    model = scae.tl.fit(pbmc, "peakvi", plan=QUICK)
    found = denoised(pbmc, model, kind="posterior", with_sd=True)
    mean = denoised(pbmc, model, key_added="mean")
    x = pbmc.X.toarray() > 0
    assert (found[x] >= mean[x]).all()
    assert (found[~x] <= mean[~x] + 1e-6).all()
    with pytest.raises(ConfigError, match="at the cell's own depth"):
        scae.tl.denoise(pbmc, model, kind="posterior", library_size=100.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "posterior", "at_batch": "east"}, "seen in its own batch"),
        ({"kind": "mean", "with_sd": True}, "allowed with kind='posterior' only"),
        ({"kind": "mean", "technical_cv2": 0.1}, "allowed with 'posterior' and 'posterior_log_mean' only"),
        ({"kind": "posterior", "technical_cv2": -1.0}, "technical_cv2 -1.0"),
        ({"kind": "posterior", "technical_cv2": float("nan")}, "technical_cv2 nan"),
        ({"kind": "posterior", "library_size": float("inf")}, "library_size is inf"),
        ({"kind": "likely"}, "'posterior', 'rate'"),
    ],
)
def test_options_that_do_not_go_together(pbmc, model, options, message):
    with pytest.raises(ConfigError, match=message):
        scae.tl.denoise(pbmc, model, **options)
    assert "denoised" not in pbmc.layers


def test_a_taken_place_of_the_sd_is_refused_before_the_work(pbmc, model):
    pbmc.layers["denoised_sd"] = pbmc.X.copy()
    with pytest.raises(ConfigError, match="denoised_sd"):
        scae.tl.denoise(pbmc, model, kind="posterior", with_sd=True)
    assert "denoised" not in pbmc.layers


@pytest.mark.parametrize("name", ["gaussian", "student"])
def test_other_likelihoods_are_refused_before_the_fit(pbmc, name):
    spec = scae.ModelSpec(likelihood=scae.parts.find("likelihood", name)())
    with pytest.raises(ConfigError, match="neither of molecules nor of presence"):
        scae.tl.denoise(pbmc, spec, kind="posterior")


@pytest.mark.parametrize("bad", [[1.0], "few", [-1.0] * 3])
def test_a_damaged_factor_in_a_file_is_noticed(model, tmp_path, bad):
    before = model.fitted["theta_factor"]
    model.fitted["theta_factor"] = bad
    try:
        model.save(tmp_path / "m.scae")
    finally:
        model.fitted["theta_factor"] = before
    with pytest.raises(ModelFileError, match="theta_factor"):
        scae.load(tmp_path / "m.scae")


def spiked(cv2: float, cells: int = 2000) -> AnnData:
    rng = np.random.default_rng(1)
    mean = rng.gamma(3.0, 1.0, (cells, 1)) * np.append(np.geomspace(20, 0.2, 14), 0)
    noise = rng.gamma(1 / cv2, cv2, mean.shape) if cv2 else 1.0
    adata = AnnData(sp.csr_matrix(rng.poisson(mean * noise).astype(np.float32)))
    adata.var["ercc"] = True
    return adata


@pytest.mark.parametrize("cv2", [0.05, 0.4])
def test_technical_noise_is_found_in_spike_ins(cv2):
    adata = spiked(cv2)
    found = spike_in_cv2(adata, "ercc")
    assert found == pytest.approx(cv2, rel=0.25)
    adata.obsm["ercc_counts"] = adata.X.toarray()
    assert spike_in_cv2(adata, "ercc_counts") == pytest.approx(found, rel=1e-6)


def test_without_noise_there_is_next_to_none():
    assert spike_in_cv2(spiked(0.0), "ercc") < 2e-3


def test_spike_ins_shrink_the_posterior_towards_the_mean(pbmc, model):
    mu, plain = denoised(pbmc, model), denoised(pbmc, model, kind="posterior", key_added="plain")
    pbmc.obsm["ercc"] = np.random.default_rng(0).negative_binomial(2, 0.1, (pbmc.n_obs, 6)).astype(float)
    shrunk = denoised(pbmc, model, kind="posterior", technical_cv2="ercc", key_added="shrunk")
    assert (np.abs(shrunk - mu) <= np.abs(plain - mu) * (1 + 1e-4) + 1e-5).all()
    record = json.loads(pbmc.uns["scae"]["written"]["layers['shrunk']"])
    assert record["technical_cv2"] == pytest.approx(spike_in_cv2(pbmc, "ercc"))


def test_spike_ins_that_are_none(pbmc, model):
    with pytest.raises(MissingKeyError, match="unknown spike-ins 'erc'"):
        scae.tl.denoise(pbmc, model, kind="posterior", technical_cv2="erc")
    pbmc.obsm["logs"] = np.full((pbmc.n_obs, 3), 0.5)
    with pytest.raises(CountsError, match="not counts"):
        scae.tl.denoise(pbmc, model, kind="posterior", technical_cv2="logs")
    pbmc.obsm["one"] = np.ones((pbmc.n_obs, 1))
    with pytest.raises(ConfigError, match="at least two"):
        scae.tl.denoise(pbmc, model, kind="posterior", technical_cv2="one")


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("data", ["pbmc3k", "scmix_3cl"])
def test_it_predicts_held_out_molecules_better_and_its_intervals_hold(data):
    adata = anndata.read_h5ad(SHARED / f"{data}.h5ad")
    scae.pp.highly_variable_genes(adata, n_top_genes=1000, flavor="seurat_v3")
    adata = adata[:, adata.var["highly_variable"]].copy()
    adata.X = sp.csr_matrix(adata.X)
    fold = evaluate.split(adata.X, 0.9, 0)
    seen = adata[fold.cells].copy()
    seen.X = fold.train
    model = scae.tl.denoise(seen, key_added="mean")
    scae.tl.denoise(seen, model, kind="posterior", key_added="cell", with_sd=True)
    left = {k: evaluate.deviance(fold.test, evaluate.matrix_blocks(seen.layers[k]), fold.odds).sum() for k in ("mean", "cell")}
    assert left["cell"] < left["mean"]
    mean, sd = seen.layers["cell"].astype(float), seen.layers["cell_sd"].astype(float)
    shape = (mean / sd) ** 2  # of the gamma posterior
    law = stats.nbinom(shape, shape / (shape + mean * fold.odds))
    x = fold.test.toarray()
    u = np.random.default_rng(0).random(x.shape)
    position = law.cdf(x) - u * law.pmf(x)  # uniform, if the intervals are right
    often = x.mean(0) > 0.1
    assert ((position > 0.05) & (position < 0.95))[:, often].mean() == pytest.approx(0.9, abs=0.02)
