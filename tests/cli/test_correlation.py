"""scae correlation writes the table of scae.tl.correlation."""

from __future__ import annotations

import json
from dataclasses import replace

import anndata
import pandas as pd
import pytest

import scae
from scae.cli import main

from .words import QUICK

GENES = ["CD3D", "LYZ", "NKG7"]


@pytest.mark.parametrize(("ending", "separator"), [("csv", ","), ("tsv", "\t")])
def test_the_table_is_that_of_python(h5ad, tmp_path, capsys, ending, separator):
    out = tmp_path / f"t.{ending}"
    words = ["correlation", str(h5ad), str(out), "--genes", *GENES, "--n-samples", "2", "--n-permuted", "4"]
    assert main([*words, "--batch-key", "batch", "--random-state", "3", "--device", "cpu", "--json", *QUICK]) == 0
    summary = json.loads(capsys.readouterr().out)
    table = pd.read_csv(out, sep=separator)
    plan = replace(scae.presets.find("denoiser").plan, min_steps=10, epochs=1)
    options = {"n_samples": 2, "n_permuted": 4, "batch_key": "batch", "random_state": 3, "device": "cpu"}
    expected = scae.tl.correlation(anndata.read_h5ad(h5ad), GENES, plan=plan, **options)
    pd.testing.assert_frame_equal(table, expected)
    assert summary == {"output": str(out), "pairs": 3, "significant": int((table["q"] < 0.05).sum())}


@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize(
    ("out", "genes", "code", "said"),
    [
        ("t.h5ad", GENES, 5, "must end in .csv or .tsv"),
        ("no/t.csv", GENES, 5, "there is no folder"),
        ("t.csv", ["CD3D"], 2, "at least two genes"),
        ("t.csv", ["CD3D", "CD3"], 2, "unknown gene 'CD3'"),
    ],
)
def test_what_is_not_allowed(h5ad, tmp_path, capsys, out, genes, code, said):
    assert main(["correlation", str(h5ad), str(tmp_path / out), "--genes", *genes]) == code
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
