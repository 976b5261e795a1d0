"""scae differential-expression writes the table of scae.tl.differential_expression."""

from __future__ import annotations

import json

import anndata
import pandas as pd
import pytest

import scae
from scae.cli import main


@pytest.mark.parametrize(("ending", "separator"), [("csv", ","), ("tsv", "\t")])
def test_the_table_is_that_of_python(h5ad, tmp_path, capsys, ending, separator):
    out = tmp_path / f"t.{ending}"
    words = ["differential-expression", str(h5ad), str(out), "--groupby", "bulk_labels", "--groups", "Dendritic", "CD56+ NK"]
    words += ["--not-from-counts", "--batch-key", "batch", "--reference", "CD14+ Monocyte", "--json"]
    assert main(words) == 0
    summary = json.loads(capsys.readouterr().out)
    options = {"groups": ["Dendritic", "CD56+ NK"], "from_counts": False, "batch_key": "batch", "reference": "CD14+ Monocyte"}
    expected = scae.tl.differential_expression(anndata.read_h5ad(h5ad), "bulk_labels", **options)
    pd.testing.assert_frame_equal(pd.read_csv(out, sep=separator), expected)
    significant = int((expected["pvals_adj"] < 0.05).sum())
    assert summary == {"output": str(out), "groups": 2, "significant": significant}


@pytest.mark.parametrize(
    ("out", "words", "code", "said"),
    [
        ("t.h5ad", ["--groupby", "bulk_labels"], 5, "must end in .csv or .tsv"),
        ("no/t.csv", ["--groupby", "bulk_labels"], 5, "there is no folder"),
        ("t.csv", ["--groupby", "labels"], 2, "unknown obs column 'labels'"),
        ("t.csv", ["--groupby", "bulk_labels", "--groups", "B"], 2, "unknown group 'B'"),
    ],
)
def test_what_is_not_allowed(h5ad, tmp_path, capsys, out, words, code, said):
    assert main(["differential-expression", str(h5ad), str(tmp_path / out), *words]) == code
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
