"""Zeros of each gene, observed and under the fitted likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from anndata import AnnData

from ..infer import expected
from ..model import Autoencoder
from ..tl._fit import fitted
from ._figure import BLUE, ORANGE, beside, drawing, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def zeros(
    adata: AnnData,
    model: Autoencoder,
    *,
    layer: str | None = None,
    n_labels: int = 3,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Plot each gene's observed share of zeros against the share expected under the fitted likelihood.

    If the points lie on the diagonal, the likelihood accounts for the zeros. The calibration error in the title is the mean
    absolute difference between the two.

    Parameters
    ----------
    adata : AnnData
        Cells with the model's genes.
    model : Autoencoder
        A fitted model with a likelihood of counts, such as ``nb``, ``zinb`` or ``poisson``.
    layer : str, optional
        Layer that holds the counts; None for the one to which the model was fitted.
    n_labels : int
        Number of genes to name, those furthest from the diagonal.
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
        If the likelihood is not one of counts, gene by gene, or ``ax`` or ``save`` is not allowed.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.fit(adata, plan=scae.TrainPlan(min_steps=20, epochs=1))
    >>> ax = scae.pl.zeros(adata, model, show=False)
    """
    _, source = fitted(adata, model, {} if layer is None else {"layer": layer})
    predicted = expected(model, source)
    observed = 1 - np.bincount(source.gene, minlength=source.n_genes) / max(len(source), 1)
    off = observed - predicted.zeros
    with drawing(1, ax, show=show, save=save, size=(4.6, 4.2)) as (panel,):
        panel.axline((0, 0), slope=1, color="black", lw=0.8, ls="--")
        panel.scatter(predicted.zeros, observed, s=9, color=BLUE, alpha=0.5, linewidths=0, rasterized=True)
        worst = np.argsort(-np.abs(off), kind="stable")[:n_labels]
        left = {"ha": "right", "xytext": (-5, 0)}
        labels = [
            beside(panel, predicted.zeros[g], observed[g], model.data.genes[g], ORANGE, **(left if off[g] > 0 else {}))
            for g in worst
        ]
        panel.set(xlabel="expected share of cells without a count", ylabel="observed share", aspect="equal")
        panel.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        panel.set_title(f"zeros of {source.n_genes} genes: calibration error {np.abs(off).mean():.4f}")
        spread(panel, labels)
    return panel
