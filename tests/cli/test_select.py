"""scae select writes what scae.tl.cross_validate and choose return."""

from __future__ import annotations

import json

import anndata
import numpy as np
import pandas as pd

import scae
from scae.cli import main


def test_select_then_fit_what_it_chose(h5ad, tmp_path, capsys):
    table, config, model = (str(tmp_path / name) for name in ("t.csv", "c.json", "m.scae"))
    steps = ["--min-steps", "120", "--max-steps", "120", "--device", "cpu"]
    words = ["select", str(h5ad), "--presets", "denoiser", "--grid", "bottleneck-dim=2,16", "network-hidden=32x16"]
    words += ["--splits", "1", "--batch-key", "batch", "--out", table, "--save-config", config, *steps]
    words += ["--plot", str(tmp_path / "p.png")]
    assert main([*words, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    specs = scae.tl.grid("denoiser", bottleneck_dim=[2, 16], network_hidden=[(32, 16)], min_steps=[120], max_steps=[120])
    expected = scae.tl.cross_validate(anndata.read_h5ad(h5ad), specs, n_splits=1, batch_key="batch", device="cpu")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    written = pd.read_csv(table)
    np.testing.assert_allclose(written["deviance_explained"], expected["deviance_explained"], rtol=1e-9)
    assert (written["model"].tolist(), summary["reason"]) == (expected["model"].tolist(), scae.tl.choose(expected).reason)
    chosen = specs[summary["chosen"]]
    assert main(["fit", str(h5ad), model, "--config", config, "--epochs", "1", "--min-steps", "5"]) == 0
    fitted = scae.load(model)
    assert fitted.spec == chosen.spec
    assert fitted.fitted["plan"] == scae.parts.to_dict(chosen.plan) | {"epochs": 1, "min_steps": 5}


def test_select_says_so_where_there_is_nothing_to_denoise(tmp_path, capsys):
    rng = np.random.default_rng(0)
    noise, config = tmp_path / "noise.h5ad", tmp_path / "c.json"
    anndata.AnnData(rng.poisson(rng.gamma(1, 1, 40), (200, 40)).astype("float32")).write_h5ad(noise)
    words = ["select", str(noise), "--presets", "denoiser", "--splits", "2", "--save-config", str(config), "--min-steps", "60"]
    assert main([*words, "--max-steps", "60"]) == 0
    assert "choice: none: do not denoise this" in capsys.readouterr().out
    assert main(["fit", str(noise), str(tmp_path / "m.scae"), "--config", str(config)]) == 2
    assert "do not denoise this" in capsys.readouterr().err
