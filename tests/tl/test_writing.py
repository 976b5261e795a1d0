"""Records in uns, and layers that must not be overwritten."""

from __future__ import annotations

import json

import anndata
import numpy as np
import pytest
from helpers import QUICK

import scae
from scae.errors import ConfigError
from scae.parts import build


def test_scae_may_write_over_its_own_layer_only(pbmc, model):
    scae.tl.denoise(pbmc, model)
    scae.tl.denoise(pbmc, model, kind="rate")
    pbmc.layers["mine"] = pbmc.X.copy()
    with pytest.raises(ConfigError, match=r"'mine'.*does not list it as a result of scae"):
        scae.tl.denoise(pbmc, model, key_added="mine")


def test_the_record_survives_a_file(pbmc, model, tmp_path):
    scae.tl.embed(pbmc, model)
    scae.tl.denoise(pbmc, model, n_samples=0)
    scae.tl.score(pbmc, model)
    scae.tl.dispersion(pbmc, model)
    pbmc.write_h5ad(tmp_path / "a.h5ad")
    back = anndata.read_h5ad(tmp_path / "a.h5ad")
    about = back.uns["scae"]
    assert build(scae.ModelSpec, json.loads(about["spec"])) == model.spec
    assert build(scae.TrainPlan, json.loads(about["plan"])) == QUICK
    assert set(about["written"]) == {"obsm['X_scae']", "layers['denoised']", "obs['scae_score']", "var['dispersion']"}
    assert about["model_sha256"] == pbmc.uns["scae"]["model_sha256"]
    assert np.array_equal(about["history"]["held_out"], [row["held_out"] for row in model.fitted["history"]["rows"]])
    assert back.obsm["X_scae"].tobytes() == pbmc.obsm["X_scae"].tobytes()
    scae.tl.denoise(back, model, n_samples=0)  # the layer is known as its own
