"""Choose a model from a table of scores: the simplest candidate within one standard error of the best, or none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import ConfigError, unknown

ORDERS = {"n_parameters": "the fewest parameters", "n_latent": "the smallest latent", "seconds": "the shortest time"}
_NEEDED = ("model", "kind", "deviance_explained", "below_best", "below_best_se", "above_baseline", "above_baseline_se")


@dataclass(frozen=True)
class Choice:
    """The result of :func:`choose`.

    Attributes
    ----------
    model
        Name of the chosen candidate; None: do not denoise these data.
    reason
        The reason, one sentence with numbers.
    best
        Name of the candidate with the highest mean score; None if training diverged for all of them.
    baseline
        Name of the best baseline.
    """

    model: str | None
    reason: str
    best: str | None
    baseline: str


def summarize(table: pd.DataFrame, order: str = "n_parameters") -> pd.DataFrame:
    """Summarise a table in one row per candidate or baseline: means over splits and seeds, and standard errors.

    The standard error of a difference is the larger of two: over cells (the mean of the runs' errors) and over runs (their
    standard deviation / √runs).

    Parameters
    ----------
    table : DataFrame
        What :func:`cross_validate` returned.
    order : str
        Column by which candidates are ordered, see :func:`choose`.

    Returns
    -------
    pandas.DataFrame
        Indexed by name. ``eligible`` marks candidates within one standard error of the best and above every baseline by more
        than one.

    Raises
    ------
    ConfigError
        If columns are missing, or the table has no candidates or no baselines.
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
        raise ConfigError(f"the table has no {lack}. Pass the whole table that scae.tl.cross_validate returned.")
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
    """Choose the simplest candidate within one standard error of the best, or none.

    A candidate must also beat the best baseline by more than one standard error. If none does, the data do not support
    denoising, and ``model`` is None. Differences are paired: same split, same cells.

    Parameters
    ----------
    table : DataFrame
        What :func:`cross_validate` returned, or the same table read from a CSV file.
    order : str
        What "simple" means: few ``"n_parameters"``, a small ``"n_latent"`` or few ``"seconds"``. Ties go to the higher score.

    Returns
    -------
    Choice
        ``model`` (None: do not denoise these data), the ``reason``, and the names of the ``best`` candidate and ``baseline``.

    Raises
    ------
    ConfigError
        If rows or columns are missing from the table.
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
    >>> scae.tl.choose(table).model is None  # twenty steps are too few to learn anything
    True
    """
    rows = summarize(table, order)
    baselines, models = rows[rows["kind"] == "baseline"], rows[rows["kind"] == "model"].dropna(subset=["deviance_explained"])
    baseline = str(baselines["deviance_explained"].idxmax())
    if not len(models):
        return Choice(None, "do not denoise this: training diverged for every candidate.", None, baseline)
    best = str(models["deviance_explained"].idxmax())
    if abs(models.loc[best, "below_best"]) > 1e-9:
        raise ConfigError(
            "the rows of the best candidate are missing. Pass the whole table that scae.tl.cross_validate returned."
        )
    eligible = models[models["eligible"]].sort_values([order, "deviance_explained"], ascending=[True, False], kind="stable")
    if not len(eligible):
        return Choice(None, _none(models.loc[best], best, baseline), best, baseline)
    row, name = eligible.iloc[0], str(eligible.index[0])
    over = f"{row['above_baseline']:.4f} ± {row['above_baseline_se']:.4f} above the best baseline ({baseline})"
    if name == best:
        return Choice(
            name,
            f"{name} is the best of {len(models)} candidates: it explains {row['deviance_explained']:.4f}, {over}.",
            best,
            baseline,
        )
    behind = f"{row['below_best']:.4f} ± {row['below_best_se']:.4f} below the best ({best})"
    return Choice(name, f"{name} has {ORDERS[order]} within one standard error of the best: {behind}; {over}.", best, baseline)


def _none(row: pd.Series, best: str, baseline: str) -> str:
    gap = f"{row['above_baseline']:+.4f} ± {row['above_baseline_se']:.4f}"
    return (
        f"do not denoise this: no candidate beats the best baseline ({baseline}) by more than one standard error; the best "
        f"candidate ({best}) differs from it by {gap} of the held-out deviance."
    )
