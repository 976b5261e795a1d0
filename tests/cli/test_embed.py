"""scae embed writes what scae.tl.embed writes."""

from __future__ import annotations

import anndata
import numpy as np

import scae
from scae.cli import main

from .words import QUICK


def _plan():
    plan = scae.parts.to_dict(scae.presets.find("vae").plan)
    return plan | {"min_steps": 10, "epochs": 1}


def test_embed_is_the_verb(h5ad, tmp_path):
    out, model = tmp_path / "out.h5ad", tmp_path / "m.scae"
    assert main(["embed", str(h5ad), str(out), "--save-model", str(model), "--device", "cpu", *QUICK]) == 0
    adata = anndata.read_h5ad(h5ad)
    scae.tl.embed(adata, plan=scae.TrainPlan(**_plan()), device="cpu")
    written = anndata.read_h5ad(out)
    assert np.array_equal(written.obsm["X_scae"], adata.obsm["X_scae"])
    assert np.array_equal(written.X.toarray(), adata.X.toarray())
    again = tmp_path / "again.h5ad"
    assert main(["embed", str(h5ad), str(again), "--model", str(model)]) == 0
    assert np.array_equal(anndata.read_h5ad(again).obsm["X_scae"], adata.obsm["X_scae"])
