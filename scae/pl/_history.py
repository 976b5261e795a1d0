"""The losses of a fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from ..errors import ConfigError, NotFittedError
from ..model import Autoencoder
from ._figure import BLUE, GREEN, GREY, ORANGE, PURPLE, beside, drawing, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WHOLE = {"loss": ("training loss", BLUE), "nll": ("its likelihood term", GREEN), "held_out": ("held-out loss", ORANGE)}
_PARTS = {"kl": ("KL", PURPLE), "penalty": ("penalty", GREY)}


def history(
    model: Autoencoder | AnnData,
    *,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> list[Axes]:
    """Plot the losses of a fit against its steps, and mark the step whose weights were kept.

    Parameters
    ----------
    model : Autoencoder or AnnData
        A fitted model, or AnnData to which :func:`scae.tl.embed` or another function of ``scae.tl`` has written.
    ax : Axes or sequence of Axes, optional
        Axes to draw into, one per panel (two, or one if KL and penalty are zero); None: a new figure.
    show : bool, optional
        Show the figure; None: only if it is new, not saved, and the backend opens windows.
    save : str or Path, optional
        File to write; its suffix sets the format.

    Returns
    -------
    list of matplotlib.axes.Axes
        The losses, nats per cell; and, unless they are zero, the KL term and the penalty in a second panel.

    Raises
    ------
    NotFittedError
        If there is no history.
    ConfigError
        If ``model`` is something else, or ``ax`` or ``save`` is not allowed.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.fit(adata, plan=scae.TrainPlan(min_steps=20, epochs=1))
    >>> axes = scae.pl.history(model, show=False)
    """
    columns, best = _history(model)
    parts = {name: about for name, about in _PARTS.items() if np.any(columns.get(name, 0))}
    with drawing(2 if parts else 1, ax, show=show, save=save, size=(4.8, 3.4)) as panels:
        for panel, lines, title in zip(panels, (_WHOLE, parts), ("loss", "parts of the training loss"), strict=False):
            _lines(panel, columns, {name: about for name, about in lines.items() if name in columns}, best)
            panel.set_title(title)
            panel.set_ylabel(f"{'loss' if lines is _WHOLE else 'part of the loss'} (nats per cell)")
        panels[0].set_title(f"loss; weights kept: epoch {columns['epoch'][best]:.3g}")
    return panels


def _history(model: Autoencoder | AnnData) -> tuple[dict[str, NDArray], int]:
    if isinstance(model, Autoencoder):
        record = model.fitted.get("history", {})
        rows, best = record.get("rows", []), record.get("best", -1)
        columns = {name: np.array([row.get(name, np.nan) for row in rows]) for name in (rows[0] if rows else ())}
    elif isinstance(model, AnnData):
        about = model.uns.get("scae", {})
        columns, best = dict(about.get("history", {})), int(about.get("history_best", -1))
    else:
        raise ConfigError(f"model is a {type(model).__name__}; allowed: a fitted Autoencoder, or AnnData with uns['scae'].")
    if not columns:
        raise NotFittedError("there is no training history: fit a model first, e.g. scae.tl.embed(adata).")
    return columns, best


def _lines(panel: Axes, columns: dict[str, NDArray], lines: dict[str, tuple[str, str]], best: int) -> None:
    step, labels = columns["step"], []
    mark = "o" if len(step) < 3 else ""
    for name, (text, color) in lines.items():
        panel.plot(step, columns[name], color=color, lw=1.5, marker=mark, label=text)
        labels.append(beside(panel, step[-1], columns[name][-1], text, color))
    panel.axvline(step[best], color="black", lw=0.8, ls=":", label="kept")
    whole = np.concatenate([columns[name] for name in lines])
    settled = np.concatenate([columns[name][len(step) // 10 :] for name in lines])
    if np.ptp(whole) > 3 * np.ptp(settled) > 0:  # otherwise the first steps would fill the whole scale
        room = 0.06 * np.ptp(settled)
        panel.set_ylim(settled.min() - room, settled.max() + room)
    panel.set_xlabel("training step")
    spread(panel, labels)
