"""The one-standard-error rule."""

from __future__ import annotations

import io

import pandas as pd
import pytest

import scae
from scae.errors import ConfigError, MissingKeyError
from scae.tl._choose import summarize


def made_table(rows, *, runs=2):
    """A table from ``name: (score, weights)``; the paired errors are 0.01, PCA explains 0.1."""
    best = max((score for score, _ in rows.values() if score == score), default=0.0)
    out = []
    for split in range(runs):
        for name, (score, n) in {"PCA": (0.1, 5), **rows}.items():
            kind = "baseline" if name == "PCA" else "model"
            gaps = {"below_best": best - score, "below_best_se": 0.01, "above_baseline": score - 0.1, "above_baseline_se": 0.01}
            row = {"model": name, "kind": kind, "split": split, "deviance_explained": score, "se": 0.02, **gaps}
            out.append(row | {"n_parameters": n, "n_latent": n // 10, "seconds": 1.0 / n})
    return pd.DataFrame(out)


@pytest.mark.parametrize(
    ("rows", "model"),
    [
        ({"big": (0.3, 100), "small": (0.295, 10)}, "small"),  # within one error of the best
        ({"big": (0.3, 100), "small": (0.28, 10)}, "big"),
        ({"big": (0.3, 10), "small": (0.3, 10), "best": (0.301, 10)}, "best"),  # equally simple: the higher score
        ({"big": (0.105, 100)}, None),  # no better than PCA
        ({"big": (0.112, 100), "small": (0.106, 10)}, "big"),  # the small one does not beat PCA
        ({"big": (0.3, 100), "lost": (float("nan"), 1)}, "big"),
        ({"lost": (float("nan"), 1)}, None),
    ],
)
def test_the_rule(rows, model):
    table = made_table(rows)
    choice = scae.tl.choose(table)
    assert choice.model == model
    assert choice.baseline == "PCA"
    assert scae.tl.choose(pd.read_csv(io.StringIO(table.to_csv(index=False)))) == choice


def test_the_order_says_what_is_simple():
    table = made_table({"big": (0.3, 100), "small": (0.295, 10)})
    assert scae.tl.choose(table, order="seconds").model == "big"
    assert scae.tl.choose(table, order="n_latent").model == "small"
    with pytest.raises(MissingKeyError, match="n_parameters"):
        scae.tl.choose(table, order="weights")


def test_spread_over_runs_counts_where_it_is_larger():
    table = made_table({"big": (0.3, 100), "small": (0.28, 10)})
    small = table["model"] == "small"
    table.loc[small, "below_best"] = [-0.03, 0.07]
    found = summarize(table)
    assert found.loc["small", "below_best_se"] == pytest.approx(0.05)
    assert scae.tl.choose(table).model == "small"


@pytest.mark.parametrize("drop", [{"columns": "below_best"}, {"index": [1, 4]}, {"index": [0, 3]}])
def test_half_a_table_is_refused(drop):
    with pytest.raises(ConfigError, match="whole table"):
        scae.tl.choose(made_table({"big": (0.3, 100), "small": (0.28, 10)}).drop(**drop))
