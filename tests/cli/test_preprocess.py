"""scae preprocess keeps the counts where scae check finds them."""

from __future__ import annotations

import json

import anndata

from scae.cli import main


def test_preprocess_then_check(h5ad, tmp_path, capsys):
    out = tmp_path / "ready.h5ad"
    assert main(["preprocess", str(h5ad), str(out), "--min-genes", "10", "--n-top-genes", "100", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
    ready = anndata.read_h5ad(out)
    assert ready.var["highly_variable"].sum() == 100
    assert main(["check", str(out), "--layer", "counts"]) == 0
    assert main(["check", str(out)]) == 3
    assert "layer='counts'" in capsys.readouterr().out
