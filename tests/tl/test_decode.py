"""Decoding a latent: that of a cell gives what denoise gives; anything else is refused by name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from helpers import QUICK, real_counts

import scae
from scae.bottlenecks import VQ, Deterministic
from scae.errors import CategoryError, ConfigError, MissingKeyError
from scae.likelihoods import Bernoulli
from scae.model import ModelSpec

from .calls import denoised, embedded

SPECS = {
    "gaussian": ModelSpec(),
    "codes": ModelSpec(bottleneck=VQ(dim=4, n_codes=5, n_books=2, quantization="residual")),
    "pca": "pca",
    "several decoders": "scdha",
}


@pytest.fixture(scope="module", params=SPECS)
def any_model(request) -> scae.Autoencoder:
    keys = {"batch_key": "batch", "categorical_covariates": "donor", "continuous_covariates": "age"}
    return scae.tl.fit(real_counts(), SPECS[request.param], plan=QUICK, device="cpu", **keys)


@pytest.mark.parametrize("kind", ["rate", "mean"])
@pytest.mark.parametrize("at_batch", [None, "west"])
def test_decoding_what_was_encoded_is_denoising(any_model, pbmc, kind, at_batch):
    embedded(pbmc, any_model)
    size = 500 if kind == "rate" else None
    found = scae.tl.decode(pbmc, any_model, kind=kind, at_batch=at_batch, library_size=size)
    want = denoised(pbmc, any_model, kind=kind, at_batch=at_batch, library_size=size)
    columns = pbmc.var_names.get_indexer(found.var_names)
    np.testing.assert_allclose(found.X, want[:, columns], rtol=1e-4, atol=1e-6)
    assert found.obs_names.equals(pbmc.obs_names)
    assert set(found.obs["batch"]) == ({"west"} if at_batch else {"east", "west"})
    assert found.obsm["X_scae"].tobytes() == pbmc.obsm["X_scae"].tobytes()


def test_log_means_are_those_of_denoise(model, pbmc):
    embedded(pbmc, model)
    want = denoised(pbmc, model, kind="log_mean")
    np.testing.assert_allclose(scae.tl.decode(pbmc, model, kind="log_mean").X, want[:, : model.data.n_genes], rtol=1e-4)


def test_an_array_is_decoded_at_the_covariates_given(model, pbmc):
    z = embedded(pbmc, model)
    whole = scae.tl.decode(pbmc, model, at_batch="east")
    found = scae.tl.decode(z.astype(np.float64), model, covariates={"batch": "east"}, genes=["CD3D", "LYZ"])
    np.testing.assert_allclose(found.X, whole[:, ["CD3D", "LYZ"]].X, rtol=1e-6)
    own = scae.tl.decode(z, model, covariates={"batch": pbmc.obs["batch"]})
    np.testing.assert_allclose(own.X, scae.tl.decode(pbmc, model).X, rtol=1e-6)
    sizes = np.linspace(100, 900, 200)
    scaled = scae.tl.decode(z, model, at_batch="east", library_size=sizes)
    np.testing.assert_allclose(scaled.X, whole.X * sizes[:, None] / 1e4, rtol=1e-4)
    assert scae.tl.decode(z[:0], model, at_batch="east").shape == (0, model.data.n_genes)
    assert scae.tl.decode(z[:1], model, at_batch="east", kind="sample").shape == (1, model.data.n_genes)


def test_draws_are_counts_with_the_expected_mean_and_follow_the_seed(model, pbmc):
    z = np.repeat(embedded(pbmc, model)[:1], 4000, axis=0)
    drawn, again, other = (
        scae.tl.decode(z, model, at_batch="east", kind="sample", library_size=2000, random_state=seed).X for seed in (1, 1, 2)
    )
    assert sp.issparse(drawn)
    assert drawn.format == "csr"
    assert (drawn != again).nnz == 0 < (drawn != other).nnz
    assert (drawn.data == drawn.data.round()).all()
    mean = scae.tl.decode(z[:1], model, at_batch="east", library_size=2000).X[0]
    spread = drawn.toarray().std(0) / np.sqrt(4000)
    assert (np.abs(np.asarray(drawn.mean(0)).ravel() - mean) < 6 * spread + 1e-3).all()


def test_support_is_high_for_cells_and_low_far_away(model, pbmc):
    z = embedded(pbmc, model)
    own, far = (scae.tl.decode(at, model, at_batch="east", reference=pbmc).obs["support"] for at in (z, z + 100))
    assert own.median() > 0.4
    assert (far == np.float32(1 / 201)).all()
    assert "support" not in scae.tl.decode(z, model, at_batch="east").obs


def test_what_cannot_be_decoded_is_refused(model, pbmc):
    z = embedded(pbmc, model)
    cases = {
        r"shape \(3,\)": (np.ones(3), {}),
        r"shape \(2, 3\)": (np.ones((2, 3)), {}),
        "not all finite": (np.full_like(z, np.nan), {}),
        "nothing says its value": (z, {}),
        "kind is 'draw'; allowed: 'rate'": (z, {"kind": "draw", "at_batch": "east"}),
        "kind is 'posterior';.*only scae.tl.denoise can": (z, {"kind": "posterior", "at_batch": "east"}),
        "library_size is 0": (z, {"library_size": 0, "at_batch": "east"}),
        r"library_size is \[1, 2\]; .*200 of them": (z, {"library_size": [1, 2], "at_batch": "east"}),
        "library_size is array": (z, {"library_size": np.ones(200), "at_batch": "east", "kind": "log_mean"}),
        "random_state is -1": (z, {"random_state": -1, "at_batch": "east"}),
        "one value, or one for each of 200": (z, {"covariates": {"batch": ["east"] * 3}}),
    }
    for said, (latents, options) in cases.items():
        with pytest.raises(ConfigError, match=said):
            scae.tl.decode(latents, model, **options)
    with pytest.raises(CategoryError, match="'south'"):
        scae.tl.decode(z, model, at_batch="south")
    with pytest.raises(MissingKeyError, match="unknown covariate 'donor'"):
        scae.tl.decode(z, model, at_batch="east", covariates={"donor": "a"})
    with pytest.raises(MissingKeyError, match="unknown gene 'CD3'"):
        scae.tl.decode(z, model, at_batch="east", genes="CD3")
    with pytest.raises(MissingKeyError, match="unknown obsm key 'X_pca2'"):
        scae.tl.decode(pbmc, model, key="X_pca2")
    with pytest.raises(ConfigError, match="allowed: a fitted Autoencoder"):
        scae.tl.decode(z, "vae")


def test_a_model_that_needs_the_counts_is_refused(pbmc):
    pbmc.X = (pbmc.X > 0).astype(np.float32)
    learned = scae.tl.fit(pbmc, ModelSpec(likelihood=Bernoulli(depth="learned"), bottleneck=Deterministic(dim=3)), plan=QUICK)
    with pytest.raises(ConfigError, match=r"'depth'.* from its counts.*scae\.tl\.denoise"):
        scae.tl.decode(np.zeros((1, 3)), learned)


def test_obs_of_cells_stays_but_for_the_covariates_asked_for(model, pbmc):
    embedded(pbmc, model)
    found = scae.tl.decode(pbmc, model, at_batch="west").obs
    pd.testing.assert_frame_equal(found.drop(columns="batch"), pbmc.obs.drop(columns="batch"))
