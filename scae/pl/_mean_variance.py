"""Mean and variance of each gene, observed and under the fitted likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from ..infer import expected
from ..model import Autoencoder
from ..tl._fit import fitted
from ._figure import BLUE, GREY, ORANGE, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BINS = 25


def mean_variance(
    adata: AnnData,
    model: Autoencoder,
    *,
    layer: str | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Plot each gene's variance against its mean, with the variance that the fitted model expects.

    The lower curve is the noise around each cell's expected count (μ + μ²/θ for a negative binomial). The upper curve adds the
    variance of the expected counts between cells; compare the points with this one. Curves are medians over genes of similar
    mean.

    Parameters
    ----------
    adata : AnnData
        Cells with the model's genes.
    model : Autoencoder
        A fitted model with a likelihood of counts, such as ``nb``, ``zinb`` or ``poisson``.
    layer : str, optional
        Layer that holds the counts; None for the one to which the model was fitted.
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
    >>> ax = scae.pl.mean_variance(adata, model, show=False)
    """
    _, source = fitted(adata, model, {} if layer is None else {"layer": layer})
    predicted = expected(model, source)
    n = max(len(source), 1)
    value = source.value.astype(np.float64)
    mean = np.bincount(source.gene, value, source.n_genes) / n
    variance = np.bincount(source.gene, value**2, source.n_genes) / n - mean**2
    seen = variance > 0  # a logarithmic axis cannot show the others
    with drawing(1, ax, show=show, save=save, size=(5.2, 4.0)) as (panel,):
        panel.scatter(mean[seen], variance[seen], s=8, color=GREY, alpha=0.6, linewidths=0, label="genes", rasterized=True)
        ends = np.array([mean[seen].min(), mean[seen].max()])
        panel.plot(ends, ends, color="black", lw=0.8, ls="--", label="Poisson")
        for name, curve, color in (
            ("fitted noise", predicted.noise, BLUE),
            ("fitted noise and differences between cells", predicted.variance, ORANGE),
        ):
            x, y = running_median(predicted.mean[seen], curve[seen])
            panel.plot(x, y, color=color, lw=2, label=name)
        panel.set(xscale="log", yscale="log", xlabel="mean count per cell", ylabel="variance of the count")
        panel.set_title(f"{int(seen.sum()):,} genes and what the model expects")
        panel.legend(loc="upper left", fontsize=8)
    return panel


def running_median(x: NDArray, y: NDArray) -> tuple[NDArray, NDArray]:
    """Medians of ``x`` and ``y`` in at most 25 bins of ``x``, equally wide on a logarithmic scale."""
    edges = np.geomspace(x.min(), x.max(), _BINS + 1)[1:-1]
    group = np.searchsorted(edges, x)
    groups = [np.flatnonzero(group == g) for g in np.unique(group)]
    return np.array([np.median(x[g]) for g in groups]), np.array([np.median(y[g]) for g in groups])
