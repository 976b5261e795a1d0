"""The choice that a table of scores supports: the simplest candidate within one standard error of the best, or none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import ConfigError, unknown

ORDERS = {"n_parameters": "the fewest weights", "n_latent": "the smallest latent", "seconds": "the shortest time"}
_NEEDED = ("model", "kind", "deviance_explained", "below_best", "below_best_se", "above_baseline", "above_baseline_se")


@dataclass(frozen=True)
class Choice:
    """What to use.

    Attributes
    ----------
    model
        The candidate's name; None: do not denoise this.
    reason
        Why, in a sentence with its figures.
    best
        The candidate with the highest mean score; None where every one diverged.
    baseline
        The best baseline.
    """

    model: str | None
    reason: str
    best: str | None
    baseline: str


def summarize(table: pd.DataFrame, order: str = "n_parameters") -> pd.DataFrame:
    """One row a candidate or baseline: means over splits and seeds, and the standard errors that :func:`choose` goes by.

    Of a difference's error over cells (the mean of the runs') and over runs (their spread / √runs), the larger counts.

    Raises
    ------
    ConfigError
        If columns are missing, or the best candidate's rows are.
    MissingKeyError
        If there is no such order.

    Examples
    --------
    >>> runs = pd.DataFrame({"model": ["PCA", "vae"], "kind": ["baseline", "model"], "deviance_explained": [0.1, 0.2]})
    >>> gaps = {"below_best": [0.1, 0.0], "below_best_se": 0.01, "above_baseline": [0.0, 0.1], "above_baseline_se": 0.01}
    >>> summarize(runs.assign(**gaps, n_parameters=[9, 99]))["eligible"].to_dict()
    {'PCA': False, 'vae': True}
    """
    if order not in ORDERS:
        raise unknown("order", order, ORDERS)
    missing = [name for name in (*_NEEDED, order) if name not in table]
    if missing or not (table["kind"] == "model").any() or not (table["kind"] == "baseline").any():
        lack = f"columns {', '.join(missing)}" if missing else "candidates or baselines"
        raise ConfigError(f"the table lacks {lack}; give the whole table that scae.tl.cross_validate returned.")
    by = table.groupby("model", sort=False)
    out = pd.DataFrame({"kind": by["kind"].first(), "n_runs": by.size()})
    for column, error in {
        "deviance_explained": "se",
        "below_best": "below_best_se",
        "above_baseline": "above_baseline_se",
    }.items():
        out[column] = by[column].agg(lambda s: s.mean(skipna=False))
        if error in table:
            runs = by[column].std(ddof=1) / np.sqrt(out["n_runs"])
            out[error] = np.fmax(by[error].mean(), runs.fillna(0))
    for name in {*ORDERS} & {*table}:
        out[name] = by[name].mean()
    model = out["kind"] == "model"
    out["eligible"] = (
        model & (out["below_best"] <= out["below_best_se"] + 1e-12) & (out["above_baseline"] > out["above_baseline_se"])
    )
    return out


def choose(table: pd.DataFrame, *, order: str = "n_parameters") -> Choice:
    """The simplest candidate that is not worse than the best by more than one standard error, or none.

    A candidate must also beat the best baseline by more than one standard error; where none does, denoising would add what
    the data do not hold, and the choice is None. Differences are paired: same split, same cells.

    Parameters
    ----------
    table
        What :func:`cross_validate` returned (or the same, read from a CSV file).
    order
        What "simple" means: ``"n_parameters"`` (weights), ``"n_latent"`` (size of the latent) or ``"seconds"``. Ties go to the
        higher score.

    Returns
    -------
    Choice
        ``model`` (None: do not denoise this) and the ``reason``.

    Raises
    ------
    ConfigError
        If the table is not whole.
    MissingKeyError
        If there is no such order.

    References
    ----------
    The one-standard-error rule: Breiman, Friedman, Olshen and Stone (1984), Classification and Regression Trees.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> quick = scae.TrainPlan(min_steps=20, epochs=1)
    >>> table = scae.tl.cross_validate(adata, ["denoiser"], n_splits=1, plan=quick)
    >>> scae.tl.choose(table).model is None  # twenty steps teach nothing
    True
    """
    found = summarize(table, order)
    baselines, models = found[found["kind"] == "baseline"], found[found["kind"] == "model"].dropna(subset=["deviance_explained"])
    baseline = str(baselines["deviance_explained"].idxmax())
    if not len(models):
        return Choice(None, "do not denoise this: the training of every candidate diverged.", None, baseline)
    best = str(models["deviance_explained"].idxmax())
    if abs(models.loc[best, "below_best"]) > 1e-9:
        raise ConfigError(
            "the rows of the best candidate are missing; give the whole table that scae.tl.cross_validate returned."
        )
    eligible = models[models["eligible"]].sort_values([order, "deviance_explained"], ascending=[True, False], kind="stable")
    if not len(eligible):
        return Choice(None, _none(models.loc[best], best, baseline), best, baseline)
    row, name = eligible.iloc[0], str(eligible.index[0])
    over = f"{row['above_baseline']:.4f} ± {row['above_baseline_se']:.4f} above the best baseline ({baseline})"
    if name == best:
        return Choice(
            name, f"the best of {len(models)} candidates: explains {row['deviance_explained']:.4f}, {over}.", best, baseline
        )
    behind = f"{row['below_best']:.4f} ± {row['below_best_se']:.4f} below the best ({best})"
    return Choice(name, f"{ORDERS[order]} within one standard error of the best: {behind}; {over}.", best, baseline)


def _none(row: pd.Series, best: str, baseline: str) -> str:
    gap = f"{row['above_baseline']:+.4f} ± {row['above_baseline_se']:.4f}"
    return (
        f"do not denoise this: no candidate beats the best baseline ({baseline}) by more than one standard error; the best "
        f"({best}) differs by {gap} of the held-out deviance."
    )
