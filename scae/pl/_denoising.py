"""Two genes before and after denoising, and the same for permuted genes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from ..errors import ConfigError, unknown
from ..model import Autoencoder
from ..source import CountMatrix
from ..tl._decoys import decoys
from ..tl._fit import fitted, preset_of
from ..written import record_of
from ._figure import BLUE, GREY, ORANGE, beside, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def denoising(
    adata: AnnData,
    x: str,
    y: str,
    model: Autoencoder,
    *,
    layer: str = "denoised",
    n_permutations: int = 10,
    random_state: int = 0,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> list[Axes]:
    """Plot two genes raw and denoised, and the correlations that the same model produces between permuted genes.

    A denoiser predicts each gene from the others. Denoised genes therefore correlate more strongly than counts, and part of that
    correlation may be an artefact (Andrews and Hemberg 2018). For the null distribution, the model is fitted once more with the
    same settings, to all genes and ``n_permutations`` copies of ``x`` and of ``y``. Each copy is permuted over the cells and
    brought to their depths, so a copy of ``x`` and a copy of ``y`` are unrelated. A correlation that lies within this
    distribution is no evidence that the genes are related.

    Parameters
    ----------
    adata : AnnData
        Cells with the denoised layer.
    x, y : str
        Genes that the model was fitted to.
    model : Autoencoder
        The fitted model that wrote the layer.
    layer : str
        The layer that :func:`scae.tl.denoise` wrote with ``kind`` ``"mean"``, ``"rate"`` or ``"posterior"``. The permuted genes
        are denoised in the same way.
    n_permutations : int
        Number of copies per gene; the null distribution has ``n_permutations``² correlations.
    random_state : int
        Seed of the permutations and of the fit.
    ax : Axes or sequence of Axes, optional
        Four Axes; None: a new figure.
    show : bool, optional
        Show the figure; None: only if it is new, not saved, and the backend opens windows.
    save : str or Path, optional
        File to write; its suffix sets the format.

    Returns
    -------
    list of matplotlib.axes.Axes
        The two genes raw, denoised, and a typical permuted pair denoised, as log1p of counts per 10⁴ of the modelled genes with
        Pearson's r; and the null distribution of r.

    Raises
    ------
    MissingKeyError
        If a gene or the layer does not exist.
    ConfigError
        If ``n_permutations`` is below 2, the genes are the same, or ``ax`` or ``save`` is not allowed.

    References
    ----------
    Andrews and Hemberg (2018), F1000Research 7:1740, doi:10.12688/f1000research.16613.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.denoise(adata, plan=scae.TrainPlan(min_steps=20, epochs=1))
    >>> axes = scae.pl.denoising(adata, "CD3D", "CD3E", model, n_permutations=3, show=False)
    """
    for gene in (x, y):
        if gene not in model.data.genes:
            raise unknown("gene", gene, model.data.genes, hint="x and y must be genes that the model was fitted to.")
    if layer not in adata.layers:
        raise unknown("layer", layer, adata.layers, hint="scae.tl.denoise(adata, model) writes it.")
    if n_permutations < 2 or x == y:
        values = f"n_permutations is {n_permutations}, x {x!r}, y {y!r}"
        raise ConfigError(f"{values}; allowed: n_permutations of at least 2, and two genes that differ.")
    with drawing(4, ax, show=show, save=save, size=(3.3, 3.3)) as panels:
        source = fitted(adata, model, {})[1]
        raw, clean = _raw(source, model, (x, y)), _clean(adata, layer, model, (x, y))
        kind = json.loads(record_of(adata).get("written", {}).get(f"layers[{layer!r}]", "{}")).get("kind")
        how = {"seed": random_state, "posterior": kind == "posterior"}
        one, two = decoys(adata, model.data, source, preset_of(model), (x, y), n_permutations, **how)
        null = np.array([correlation(a, b) for a in one.T for b in two.T])
        typical = int(np.argmin(np.abs(np.abs(null) - np.median(np.abs(null)))))
        pair = np.stack([one[:, typical // n_permutations], two[:, typical % n_permutations]], 1)
        pairs = {"raw": raw, "denoised": clean, "permuted, denoised": pair}
        for panel, (name, points), color in zip(panels, pairs.items(), (GREY, BLUE, ORANGE), strict=False):
            panel.scatter(points[:, 0], points[:, 1], s=6, color=color, alpha=0.4, linewidths=0, rasterized=True)
            panel.set_title(f"{name}: r = {correlation(*points.T):.2f}")
            panel.set(xlabel=f"{x}, log1p per 10⁴", ylabel=f"{y}, log1p per 10⁴")
        both = np.concatenate([clean, pair])
        edges = np.stack([both.min(0), both.max(0)]) + 0.04 * np.array([[-1], [1]]) * np.ptp(both, axis=0)
        for panel in panels[1:3]:  # on one scale: permuted genes may be correlated and yet hardly vary
            panel.set(xlim=edges[:, 0], ylim=edges[:, 1])
        _distribution(panels[3], null, correlation(*raw.T), correlation(*clean.T))
    return panels


def _raw(source: CountMatrix, model: Autoencoder, genes: tuple[str, str]) -> NDArray[np.float64]:
    """The two genes, ``(cells, 2)``: log1p of counts per 10⁴."""
    out = np.zeros((len(source), 2))
    cell = np.repeat(np.arange(len(source)), np.diff(source.indptr))
    total = np.maximum(np.bincount(cell, source.value, len(source)), 1)
    for i, gene in enumerate(genes):
        here = source.gene == model.data.genes.index(gene)
        out[cell[here], i] = source.value[here]
    return np.log1p(out / total[:, None] * 1e4)


def _clean(adata: AnnData, layer: str, model: Autoencoder, genes: tuple[str, str]) -> NDArray[np.float64]:
    """The same from the denoised layer, whatever the library size at which it was written."""
    columns = adata.var_names.astype(str).get_indexer(list(model.data.genes))
    values = np.asarray(adata.layers[layer])[:, columns]
    total = np.maximum(values.sum(1, dtype=np.float64), 1e-9)
    chosen = [model.data.genes.index(gene) for gene in genes]
    return np.log1p(values[:, chosen] / total[:, None] * 1e4)


def correlation(a: NDArray, b: NDArray) -> float:
    """Pearson's r; 0 if one of the two does not vary."""
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else 0.0


def _distribution(panel: Axes, null: NDArray, raw: float, clean: float) -> None:
    """The correlations of permuted pairs, and lines at those of the two genes."""
    panel.hist(null, bins=np.linspace(-1, 1, 41).tolist(), color=ORANGE, alpha=0.7)
    for name, r, color, height in (("raw", raw, GREY, 0.96), ("denoised", clean, BLUE, 0.88)):
        panel.axvline(r, color=color, lw=1.5)
        side: dict[str, Any] = {"ha": "right", "xytext": (-4, 0)} if r > 0 else {}
        beside(panel, r, height, name, color, xycoords=panel.get_xaxis_transform(), **side)
    panel.set_ylim(0, 1.25 * panel.get_ylim()[1])  # room for the names
    low, high = np.quantile(null, [0.025, 0.975])
    panel.set(xlim=(-1.05, 1.05), xlabel="correlation r", ylabel=f"permuted pairs (of {null.size})")
    panel.set_title(f"null: 95 % within {low:.2f} … {high:.2f}")
