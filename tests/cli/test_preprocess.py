"""scae preprocess keeps the counts where scae check finds them."""

from __future__ import annotations

import json

import anndata

import scae
from scae.cli import main


def test_preprocess_then_check(h5ad, tmp_path, capsys):
    out = tmp_path / "ready.h5ad"
    assert main(["preprocess", str(h5ad), str(out), "--min-genes", "10", "--n-top-genes", "100", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
    ready = anndata.read_h5ad(out)
    assert ready.var["highly_variable"].sum() == 100
    assert main(["check", str(out)]) == 0
    assert "layers['counts'] is used" in capsys.readouterr().out
    model = tmp_path / "model.scae"
    assert main(["fit", str(out), str(model), "--epochs", "1", "--min-steps", "2"]) == 0
    assert "layers['counts'] is used" in capsys.readouterr().err
    assert scae.load(model).data.keys.layer == "counts"
