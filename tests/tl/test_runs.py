"""Differences between candidates are paired, and divergence is a missing score."""

from __future__ import annotations

import numpy as np
from helpers import QUICK

import scae
from scae.tl._baselines import BASELINES


def test_differences_are_paired(pbmc):
    specs = {"four": scae.tl.grid("denoiser", bottleneck_dim=[4])["denoiser"], "full": "denoiser"}
    table = scae.tl.cross_validate(pbmc, specs, n_splits=2, plan=QUICK).set_index(["split", "model"])
    score = table["deviance_explained"].unstack()
    best, base = score[["four", "full"]].mean().idxmax(), score[[*BASELINES]].mean().idxmax()
    for column, expected in (("below_best", score.rsub(score[best], axis=0)), ("above_baseline", score.sub(score[base], axis=0))):
        np.testing.assert_allclose(table[column].unstack()[score.columns], expected, atol=1e-12)
    assert (score["gene mean"] == 0).all()
    assert (table.xs(best, level="model")[["below_best", "below_best_se"]] == 0).all(axis=None)


def test_training_that_diverges_is_a_row_without_a_score(pbmc):
    table = scae.tl.cross_validate(pbmc, scae.tl.grid("dca-normal", lr=[1e30]), n_splits=1, plan=None)
    assert table["deviance_explained"].isna().tolist() == [False, False, False, True]
    assert "diverged" in scae.tl.choose(table).reason
