"""The losses that are drawn are those of the fit."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import QUICK
from matplotlib.axes import Axes

import scae
from scae.errors import ConfigError, NotFittedError


def test_history_draws_every_loss(pbmc):
    model = scae.tl.embed(pbmc, plan=scae.TrainPlan(epochs=10, min_steps=1, batch_size=64))
    rows = model.fitted["history"]["rows"]
    for given in (model, pbmc):
        whole, parts = scae.pl.history(given, show=False)
        drawn = {line.get_label(): line.get_xydata() for line in (*whole.lines, *parts.lines)}
        for label, name in {
            "training loss": "loss",
            "its likelihood term": "nll",
            "held-out loss": "held_out",
            "KL": "kl",
        }.items():
            assert np.array_equal(drawn[label], [[row["step"], row[name]] for row in rows])
        best = rows[model.fitted["history"]["best"]]
        assert {panel.get_xlabel() for panel in (whole, parts)} == {"training step"}
        assert (whole.get_ylabel(), parts.get_ylabel()) == ("loss (nats per cell)", "part of the loss (nats per cell)")
        assert drawn["kept"][0, 0] == best["step"]
        assert f"{best['epoch']:.3g}" in whole.get_title(loc="left")
        low, high = whole.get_ylim()
        assert low < min(row["held_out"] for row in rows) < high


def test_history_without_a_kl_term_is_one_panel(pbmc):
    model = scae.tl.fit(pbmc, "dca", plan=QUICK)
    (panel,) = scae.pl.history(model, show=False)
    assert isinstance(panel, Axes)
    with pytest.raises(NotFittedError, match="fit a model"):
        scae.pl.history(pbmc)
    with pytest.raises(ConfigError, match="a str"):
        scae.pl.history("model.scae")
