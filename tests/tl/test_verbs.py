"""What the verbs write, and what it means."""

from __future__ import annotations

import json
import warnings

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from helpers import QUICK, ROOT, same_weights

import scae
from scae.bottlenecks import Deterministic
from scae.errors import CategoryError, ConfigError, MissingKeyError
from scae.infer import _BLOCK
from scae.likelihoods import Bernoulli, Poisson
from scae.model import ModelSpec
from scae.networks import Linear
from scae.tl.inputs import counts


def denoised(adata, model, **options) -> np.ndarray:
    scae.tl.denoise(adata, model, **options)
    return adata.layers[options.get("key_added", "denoised")]


def test_fit_writes_nothing(pbmc):
    before = pbmc.copy()
    scae.tl.fit(pbmc, plan=QUICK)
    assert (list(pbmc.obsm), list(pbmc.layers), list(pbmc.uns)) == (list(before.obsm), list(before.layers), list(before.uns))
    pd.testing.assert_frame_equal(pbmc.obs, before.obs)


def test_embed_fits_then_applies(pbmc):
    fitted = scae.tl.fit(pbmc, plan=QUICK, random_state=3)
    embedded = scae.tl.embed(pbmc, plan=QUICK, random_state=3)
    assert same_weights(fitted, embedded)
    first = pbmc.obsm["X_scae"]
    scae.tl.embed(pbmc, fitted, key_added="again", with_sd=True)
    assert pbmc.obsm["again"].tobytes() == first.tobytes()
    assert (pbmc.obsm["again_sd"] > 0).all()
    assert fitted.fitted["random_state"] == 3


@pytest.mark.parametrize("n_samples", [0, 5])
def test_mean_sums_to_the_library_and_rate_to_its_size(pbmc, model, n_samples):
    totals = np.asarray(pbmc.X.sum(1)).ravel()
    np.testing.assert_allclose(denoised(pbmc, model, n_samples=n_samples).sum(1), totals, rtol=1e-4)
    rate = denoised(pbmc, model, kind="rate", library_size=500.0, n_samples=n_samples)
    np.testing.assert_allclose(rate.sum(1), 500.0, rtol=1e-4)
    assert pbmc.layers["denoised"].dtype == np.float32


def test_samples_are_counts_around_the_mean(pbmc, model):
    drawn, mean = denoised(pbmc, model, kind="sample").copy(), denoised(pbmc, model, n_samples=20)
    assert ((drawn >= 0) & (drawn == np.rint(drawn))).all()
    assert drawn.sum() == pytest.approx(mean.sum(), rel=0.05)
    assert np.corrcoef(drawn.mean(0), mean.mean(0))[0, 1] > 0.95


def test_more_samples_settle(pbmc, model):
    many, other = denoised(pbmc, model, n_samples=200).copy(), denoised(pbmc, model, n_samples=300)
    few = denoised(pbmc, model, n_samples=1)
    assert np.abs(many - other).mean() < 0.5 * np.abs(few - other).mean()


def test_blocks_make_the_whole(model, pbmc):
    big = anndata.concat([pbmc] * 4, index_unique="-", merge="same")
    assert big.n_obs > _BLOCK
    np.testing.assert_allclose(denoised(big, model, n_samples=0)[600:], denoised(pbmc, model, n_samples=0), rtol=1e-4, atol=1e-6)


def test_genes_are_the_layers_columns(pbmc, model):
    genes = ["CD3D", "LYZ", "NKG7"]
    layer = denoised(pbmc, model)
    scae.tl.denoise(pbmc, model, genes=genes, key_added="markers")
    frame = pbmc.obsm["markers"]
    assert frame.columns.tolist() == genes
    assert frame.index.equals(pbmc.obs_names)
    assert np.array_equal(frame.to_numpy(), layer[:, pbmc.var_names.get_indexer(genes)])
    with pytest.raises(MissingKeyError, match=r"unknown gene 'CD3'.*did you mean"):
        scae.tl.denoise(pbmc, model, genes=["CD3"])


def test_at_batch_is_the_own_batch_for_its_cells_and_another_for_others(pbmc, model):
    own = denoised(pbmc, model).copy()
    east = denoised(pbmc, model, at_batch="east")
    here = (pbmc.obs["batch"] == "east").to_numpy()
    assert np.array_equal(own[here], east[here])
    assert (own[~here] != east[~here]).any(1).all()
    with pytest.raises(CategoryError, match="'north'"):
        scae.tl.denoise(pbmc, model, at_batch="north")


@pytest.mark.parametrize("options", [{"kind": "median"}, {"library_size": 0.0}, {"n_samples": -1}, {"key_added": "counts"}])
def test_options_that_are_not_allowed(pbmc, model, options):
    before = pbmc.layers["counts"].copy()
    with pytest.raises(ConfigError, match=str(next(iter(options.values())))):
        scae.tl.denoise(pbmc, model, **options)
    assert (pbmc.layers["counts"] != before).nnz == 0
    assert "denoised" not in pbmc.layers


def test_at_batch_needs_a_batch(pbmc):
    model = scae.tl.fit(pbmc, plan=QUICK)
    with pytest.raises(ConfigError, match="without batch_key"):
        scae.tl.denoise(pbmc, model, at_batch="east")


def test_scae_may_write_over_its_own_layer_only(pbmc, model):
    scae.tl.denoise(pbmc, model)
    scae.tl.denoise(pbmc, model, kind="rate")
    pbmc.layers["mine"] = pbmc.X.copy()
    with pytest.raises(ConfigError, match=r"'mine'.*did not write it"):
        scae.tl.denoise(pbmc, model, key_added="mine")


def test_the_record_survives_a_file(pbmc, model, tmp_path):
    scae.tl.embed(pbmc, model)
    scae.tl.denoise(pbmc, model, n_samples=0)
    scae.tl.score(pbmc, model)
    scae.tl.dispersion(pbmc, model)
    pbmc.write_h5ad(tmp_path / "a.h5ad")
    back = anndata.read_h5ad(tmp_path / "a.h5ad")
    about = back.uns["scae"]
    assert scae.parts.from_dict(scae.ModelSpec, json.loads(about["spec"])) == model.spec
    assert scae.parts.from_dict(scae.TrainPlan, json.loads(about["plan"])) == QUICK
    assert set(about["written"]) == {"obsm['X_scae']", "layers['denoised']", "obs['scae_score']", "var['dispersion']"}
    assert about["model_sha256"] == pbmc.uns["scae"]["model_sha256"]
    assert np.array_equal(about["history"]["held_out"], [row["held_out"] for row in model.fitted["history"]["rows"]])
    assert back.obsm["X_scae"].tobytes() == pbmc.obsm["X_scae"].tobytes()
    scae.tl.denoise(back, model, n_samples=0)  # the layer is known as its own


def test_scores_are_nats_of_each_cell(pbmc, model):
    nats = scae.tl.score(pbmc, model)
    assert np.array_equal(pbmc.obs["scae_score"], nats)
    assert np.array_equal(scae.tl.score(pbmc, model), nats)
    shuffled = pbmc.copy()
    shuffled.X = pbmc.X[:, np.random.default_rng(0).permutation(pbmc.n_vars)]
    assert scae.tl.score(shuffled, model).mean() > nats.mean()


def test_dispersion_goes_where_it_belongs(pbmc, model):
    scae.tl.dispersion(pbmc, model)
    assert (pbmc.var["dispersion"] > 0).all()
    each = scae.ModelSpec(likelihood=scae.likelihoods.NB(dispersion="gene-cell"))
    scae.tl.dispersion(pbmc, scae.tl.fit(pbmc, each, plan=QUICK), key_added="theta")
    assert pbmc.obsm["theta"].shape == pbmc.shape
    with pytest.raises(ConfigError, match="no dispersion"):
        scae.tl.dispersion(pbmc, scae.tl.fit(pbmc, scae.ModelSpec(likelihood=Poisson()), plan=QUICK))


@pytest.mark.parametrize("preset", scae.presets.names())
def test_every_preset_fits_embeds_and_denoises(preset, pbmc):
    found = scae.presets.find(preset)
    pbmc.var["chromosome"], pbmc.var["start"] = "chr1", np.arange(pbmc.n_vars)  # for the networks that go along the genome
    made = scae.tl.embed(pbmc, preset, plan=QUICK)
    layer = denoised(pbmc, made, n_samples=1)
    assert np.isfinite(pbmc.obsm["X_scae"]).all()
    assert np.isfinite(layer).all()
    assert pbmc.obsm["X_scae"].shape[1] == found.spec.bottleneck.dim
    assert isinstance(found.spec.likelihood, Bernoulli) is bool(layer.max() <= 1)
    assert found.paper


def test_cells_without_counts_are_warned_of_and_finite(pbmc, model):
    pbmc.X[3] = 0
    with pytest.warns(UserWarning, match="cells without counts: 1"):
        scae.tl.embed(pbmc, model)
    assert np.isfinite(pbmc.obsm["X_scae"]).all()


def test_scanpy_goes_on_from_here(pbmc, model):
    import scanpy as sc

    scae.tl.embed(pbmc, model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sc.pp.neighbors(pbmc, use_rep="X_scae", n_neighbors=10)
        sc.tl.leiden(pbmc, flavor="igraph", n_iterations=2, directed=False)
        sc.tl.umap(pbmc, maxiter=20)
    assert [str(w.message) for w in caught if str(ROOT / "scae") in str(w.filename) or "X_scae" in str(w.message)] == []
    assert pbmc.obsm["X_umap"].shape == (pbmc.n_obs, 2)
    assert pbmc.obs["leiden"].nunique() > 1


def test_loadings_are_the_change_of_the_log_mean_along_a_latent(pbmc):
    """Of a model with the exp link: raising a dimension by one multiplies every gene by exp of its loading."""
    spec = ModelSpec(network=Linear(), bottleneck=Deterministic(dim=4), likelihood=Poisson(link="exp"))
    model = scae.tl.fit(pbmc, spec, plan=QUICK, mask_var=np.arange(pbmc.n_vars) < 50)
    scae.tl.loadings(pbmc, model)
    found = pbmc.varm["scae_loadings"]
    assert np.isnan(found[50:]).all()
    batch = counts(pbmc, model.data).take(np.arange(3))
    with torch.no_grad():
        z = model.encode(batch).z
        low, high = (spec.likelihood.mean(model.decode(at, batch)).log() for at in (z, z + torch.eye(4)[2]))
    np.testing.assert_allclose((high - low).numpy(), np.tile(found[:50, 2], (3, 1)), atol=1e-4)


def test_no_loadings_where_the_decoder_has_hidden_layers(pbmc):
    model = scae.tl.fit(pbmc, "denoiser", plan=QUICK)
    with pytest.raises(ConfigError, match="decoder_hidden"):
        scae.tl.loadings(pbmc, model)
