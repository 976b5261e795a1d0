"""Whether the fitted likelihood accounts for the zeros."""

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
    """Draw the share of cells without a count, gene by gene: seen against expected under the fitted likelihood.

    Points on the diagonal say that the noise model accounts for the zeros. The calibration error is the mean distance from it.

    Parameters
    ----------
    adata
        Cells with the model's genes.
    model
        A fitted model whose likelihood is one of counts.
    layer
        Where the counts are, if elsewhere than in the data that the model was fitted to.
    n_labels
        The number of genes furthest from the diagonal that are named.
    ax
        Axes to draw into; None: a new figure.
    show
        Show the figure; None: where it is new, not saved, and the backend has windows.
    save
        File to write; its suffix says the format.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ConfigError
        If the likelihood is not one of counts, or ``ax`` or ``save`` will not do.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.fit(adata, plan=scae.TrainPlan(min_steps=20, epochs=1))
    >>> ax = scae.pl.zeros(adata, model, show=False)
    """
    _, source = fitted(adata, model, {} if layer is None else {"layer": layer})
    says = expected(model, source)
    observed = 1 - np.bincount(source.gene, minlength=source.n_genes) / max(len(source), 1)
    off = observed - says.zeros
    with drawing(1, ax, show=show, save=save, size=(4.6, 4.2)) as (panel,):
        panel.axline((0, 0), slope=1, color="black", lw=0.8, ls="--")
        panel.scatter(says.zeros, observed, s=9, color=BLUE, alpha=0.5, linewidths=0, rasterized=True)
        worst = np.argsort(-np.abs(off), kind="stable")[:n_labels]
        left = {"ha": "right", "xytext": (-5, 0)}
        labels = [
            beside(panel, says.zeros[g], observed[g], model.data.genes[g], ORANGE, **(left if off[g] > 0 else {})) for g in worst
        ]
        panel.set(xlabel="expected share of cells without a count", ylabel="observed share", aspect="equal")
        panel.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        panel.set_title(f"zeros of {source.n_genes} genes: calibration error {np.abs(off).mean():.4f}")
        spread(panel, labels)
    return panel
