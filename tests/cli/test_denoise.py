"""scae denoise with a fitted model."""

from __future__ import annotations

import json

import anndata
import numpy as np

import scae
from scae.cli import main

from .words import QUICK


def test_fit_then_denoise_some_genes(h5ad, tmp_path, capsys):
    model, out = str(tmp_path / "m.scae"), str(tmp_path / "o.h5ad")
    options = ["--bottleneck", "deterministic", "--bottleneck-dim", "3", "--network-hidden", "16,8", "--likelihood", "poisson"]
    assert main(["fit", str(h5ad), model, "--batch-key", "batch", "--json", *options, *QUICK]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["latent"] == 3
    spec = scae.load(model).spec
    assert (spec.network.hidden, spec.likelihood.name) == ((16, 8), "poisson")
    args = ["denoise", str(h5ad), out, "--model", model, "--genes", "CD3D", "NKG7", "--at-batch", "a", "--kind", "rate"]
    assert main(args) == 0
    assert list(anndata.read_h5ad(out).obsm["denoised"].columns) == ["CD3D", "NKG7"]


def test_a_draw_from_a_fitted_model_has_a_seed(h5ad, model_file, tmp_path):
    layers = []
    for seed in ("4", "4", "5"):
        words = ["denoise", str(h5ad), str(tmp_path / "o.h5ad"), "--model", str(model_file), "--kind", "sample", "--quiet"]
        assert main([*words, "--random-state", seed]) == 0
        layers.append(anndata.read_h5ad(tmp_path / "o.h5ad").layers["denoised"])
    assert np.array_equal(layers[0], layers[1], equal_nan=True)
    assert not np.array_equal(layers[0], layers[2], equal_nan=True)
    adata = anndata.read_h5ad(h5ad)
    scae.tl.denoise(adata, scae.load(model_file), kind="sample", random_state=5)
    assert np.array_equal(adata.layers["denoised"], layers[2], equal_nan=True)
