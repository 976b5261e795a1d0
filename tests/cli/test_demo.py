"""scae demo."""

from __future__ import annotations

import json

import anndata
import pytest

import scae
from scae.cli import main


@pytest.mark.slow
def test_demo(tmp_path, capsys):
    assert main(["demo", "--out", str(tmp_path / "d"), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    explained = summary["deviance_explained"]
    assert explained["denoiser"] > explained["gene mean"]
    adata = anndata.read_h5ad(tmp_path / "d" / "adata.h5ad")
    assert {"X_scae", "X_umap"} <= set(adata.obsm)
    assert "leiden" in adata.obs
    assert (tmp_path / "d" / "demo.png").stat().st_size > 10_000
    assert scae.load(tmp_path / "d" / "model.scae").data.n_genes == 765
