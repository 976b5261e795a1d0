"""The scores of candidates and baselines, and the chosen model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..tl._choose import choose, summarize
from ._figure import BLUE, GREY, ORANGE, beside, drawing, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TITLES = {"n_parameters": "parameters", "n_latent": "latent dimensions", "seconds": "seconds"}


def cross_validation(
    table: pd.DataFrame,
    *,
    order: str = "n_parameters",
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Plot the scores of :func:`scae.tl.cross_validate`: one row per candidate, the simplest on top; baselines as lines.

    Error bars are one standard error of the paired difference from the best candidate (same splits, same cells). Markers are
    filled for candidates within one standard error of the best and above every baseline by more than one. The chosen model is
    orange.

    Parameters
    ----------
    table : DataFrame
        What :func:`scae.tl.cross_validate` returned, or the same table read from a CSV file.
    order : str
        What "simple" means, see :func:`scae.tl.choose`.
    ax : Axes or sequence of Axes, optional
        Axes to draw into; None: a new figure.
    show : bool, optional
        Show the figure; None: only if it is new, not saved, and the backend opens windows.
    save : str or Path, optional
        File to write; its suffix sets the format.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ConfigError
        If rows or columns are missing from the table, or ``ax`` or ``save`` is not allowed.
    MissingKeyError
        If there is no such order.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> quick = scae.TrainPlan(min_steps=20, epochs=1)
    >>> table = scae.tl.cross_validate(adata, ["denoiser"], n_splits=1, plan=quick)
    >>> ax = scae.pl.cross_validation(table, show=False)
    """
    rows, choice = summarize(table, order), choose(table, order=order)
    models = rows[rows["kind"] == "model"].sort_values([order, "deviance_explained"], ascending=[True, False], kind="stable")
    with drawing(1, ax, show=show, save=save, size=(6.4, 1.5 + 0.3 * len(models))) as (panel,):
        for place, (name, row) in enumerate(models.iterrows()):
            color = ORANGE if name == choice.model else BLUE
            face = color if row["eligible"] else "white"
            score, error = row["deviance_explained"], row["below_best_se"]
            look: dict[str, Any] = {"fmt": "o", "mfc": face, "ms": 5, "elinewidth": 2, "capsize": 5, "capthick": 2}
            panel.errorbar(score, place, xerr=error, color=color, label=str(name), **look)
        if choice.best is not None:
            panel.axvline(models.loc[choice.best, "deviance_explained"], color=BLUE, lw=0.8, alpha=0.5, label="best")
        labels = []
        for name, row in rows[rows["kind"] == "baseline"].iterrows():
            panel.axvline(row["deviance_explained"], color=GREY, lw=1, ls="--", label=str(name))
            top = {"xycoords": panel.get_xaxis_transform(), "xytext": (0, 7), "ha": "center", "va": "bottom"}
            labels.append(beside(panel, row["deviance_explained"], 1.0, str(name), GREY, **top))
        words = [f"{name}  ({row[order]:,.0f})" for name, row in models.iterrows()]
        panel.set_yticks(range(len(models)), words)
        panel.set_ylim(len(models) - 0.4, -0.6)
        panel.margins(x=0.08)
        panel.locator_params(axis="x", nbins=6)
        panel.set_xlabel("share of held-out Poisson deviance explained\nbar: standard error of the difference to the best")
        panel.set_title(f"choice: {choice.model or 'do not denoise this'}", color=ORANGE, pad=26)
        panel.text(-0.02, 1.0, f"candidate ({_TITLES[order]})", transform=panel.transAxes, ha="right", va="bottom", fontsize=8)
        spread(panel, labels)
    return panel
