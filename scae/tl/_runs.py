"""Candidates and baselines judged on one split, and set beside each other."""

from __future__ import annotations

import logging
import time
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from ..errors import ConfigError, DivergenceError
from ..evaluate import Split, deviance, explained, null, ratio
from ..infer import denoised
from ..presets import Preset
from ._baselines import BASELINES
from ._fit import FitOptions, fit_preset

log = logging.getLogger("scae")
NAN = float("nan")


@dataclass
class Run:
    """One candidate or baseline on one split.

    Attributes
    ----------
    row
        What the table says of it.
    left, null
        ``(cells,)`` Poisson deviance of the held-out molecules: left by this one (None where training diverged), and by gene
        mean × total.
    """

    row: dict[str, Any]
    left: NDArray[np.float64] | None
    null: NDArray[np.float64]

    def __post_init__(self) -> None:
        score, se = (NAN, NAN) if self.left is None else explained(self.left, self.null)
        self.row |= {"deviance_explained": score, "se": se}
        where = (self.row["split"], self.row["model"], score, self.row["seconds"])
        log.info("split %d, %s: %.4f of the held-out deviance explained (%.1f s)", *where)


def judge_baselines(fold: Split, number: int, seed: int) -> list[Run]:
    """Every baseline on one split; ``seed`` splits its training molecules again."""
    nothing = deviance(fold.test, null(fold.train), fold.odds)
    if not nothing.sum() > 0:
        raise ConfigError("a split leaves no molecule to be predicted. Give more cells or genes, or a lower train_share.")
    runs = []
    for name, baseline in BASELINES.items():
        began = time.perf_counter()
        blocks, n_parameters = baseline(fold, 1 / (1 + fold.odds), seed)
        left = deviance(fold.test, blocks, fold.odds)
        row = {"model": name, "kind": "baseline", "split": number, "seed": pd.NA, "n_parameters": n_parameters, "n_latent": 0}
        runs.append(Run(row | {"seconds": time.perf_counter() - began}, left, nothing))
    return runs


def judge_model(fold: Split, number: int, seen: AnnData, name: str, preset: Preset, options: FitOptions) -> Run:
    """One candidate, fitted to the training molecules ``seen``; options are those of a fit to the whole."""
    here = replace(options, keys=replace(options.keys, layer=None, mask_var=(True,) * seen.n_vars))
    row: dict[str, Any] = {"model": name, "kind": "model", "split": number, "seed": options.random_state}
    row |= {"n_parameters": 0, "n_latent": preset.spec.bottleneck.dim}
    began, left = time.perf_counter(), None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # what there is to say of the counts was said of the whole
            model, source = fit_preset(seen, preset, here)
        row["n_parameters"] = sum(p.numel() for p in model.parameters())
        left = deviance(fold.test, denoised(model, source), fold.odds)
    except DivergenceError as fault:
        log.warning("split %d, %s: %s", number, name, fault)
    return Run(row | {"seconds": time.perf_counter() - began}, left, deviance(fold.test, null(fold.train), fold.odds))


def compared(runs: list[Run]) -> pd.DataFrame:
    """The table of all runs, with paired differences to the best candidate and to the best baseline on the same split."""
    table = pd.DataFrame([run.row for run in runs])
    for column, kind, sign in (("below_best", "model", 1), ("above_baseline", "baseline", -1)):
        name = leader(table, kind)
        for run in runs:
            same = [r for r in runs if (r.row["model"], r.row["split"]) == (name, run.row["split"])]
            with_it = [r.left for r in same if r.left is not None]
            value, se = NAN, NAN
            if run.left is not None and with_it:
                value, se = ratio(sign * (run.left - np.mean(with_it, axis=0)), run.null)
            run.row |= {column: value, f"{column}_se": se}
    return pd.DataFrame([run.row for run in runs]).astype({"seed": "Int64"})


def leader(table: pd.DataFrame, kind: str) -> str | None:
    """The best candidate or baseline by its mean score; none that has diverged."""
    scores = table[table["kind"] == kind].groupby("model", sort=False)["deviance_explained"]
    means = scores.mean()[~scores.agg(lambda s: s.isna().any()).astype(bool)]
    return str(means.idxmax()) if len(means) else None
