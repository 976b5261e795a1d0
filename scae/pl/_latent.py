"""Cells in two dimensions of a latent, beside PCA."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from ..checks import located, matrix
from ..errors import ConfigError, unknown
from ..findings import is_counts
from ..keys import DataKeys
from ..tl._baselines import principal
from ._figure import COLORS, GREY, MANY_COLORS, MARKERS, beside, collide, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

_MISSING = "#D0D0D0"
_WIDE = 10.0  # largest over smallest of positive numbers, from which their scale is logarithmic
_ROWS = 18  # of a legend; more are in a further column
PROJECTIONS = ("umap", "pca", "first")


def latent(
    adata: AnnData,
    basis: str = "X_scae",
    color: str | Sequence[str] | None = None,
    *,
    beside_basis: str | None = "X_pca",
    projection: str = "umap",
    layer: str | None = None,
    random_state: int = 0,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> list[Axes]:
    """Plot cells in two dimensions of a latent, coloured by covariates, beside the same plot of PCA.

    Parameters
    ----------
    adata : AnnData
        Cells with ``obsm[basis]``.
    basis : str
        ``obsm`` key of the latent.
    color : str or sequence of str, optional
        ``obs`` columns and genes, one row of panels each; None: one row of grey cells. Categories have the colours of
        ``uns[f"{color}_colors"]`` (written if there is none), and are named on the plot, or in a legend if the names would
        overlap or the categories are mixed. Numbers have a colour bar; it is logarithmic if they are all positive and the largest
        is more than ten times the smallest, as totals are. Counts of a gene are shown as log1p(CP10k), other values as they are.
    beside_basis : str, optional
        ``obsm`` key of a second basis to plot beside the first; None: no second basis. A missing ``"X_pca"`` is computed: 30
        components of log1p(CP10k).
    projection : str
        How a basis with more than two dimensions is shown: ``"umap"``, ``"pca"`` (its first two principal components) or
        ``"first"`` (its first two dimensions).
    layer : str, optional
        Layer with the values of genes, e.g. ``"denoised"``; None for ``X``. A missing PCA is computed from it if it holds counts,
        otherwise from ``X`` or ``layers["counts"]``.
    random_state : int
        Seed of UMAP and of the order in which cells are drawn.
    ax : Axes or sequence of Axes, optional
        Axes to draw into, one per panel, row by row; None: a new figure.
    show : bool, optional
        Show the figure; None: only if it is new, not saved, and the backend opens windows.
    save : str or Path, optional
        File to write; its suffix sets the format.

    Returns
    -------
    list of matplotlib.axes.Axes
        The panels, row by row.

    Raises
    ------
    MissingKeyError
        If a basis, a column or gene, or a projection does not exist.
    ConfigError
        If a basis has fewer than two dimensions, a gene has no values because it was not modelled, or ``ax`` or ``save`` is not
        allowed.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.embed(adata, plan=scae.TrainPlan(min_steps=20, epochs=1))
    >>> axes = scae.pl.latent(adata, color=["bulk_labels", "n_counts"], projection="pca", show=False)
    >>> len(axes)
    4
    """
    colors: list[str | None] = [color] if isinstance(color, str) or color is None else list(color)
    columns = {name: _column(adata, name, layer) for name in colors if name is not None}
    if projection not in PROJECTIONS:
        raise unknown("projection", projection, PROJECTIONS)
    bases = [basis] if beside_basis is None else [basis, beside_basis]
    planes = [_plane(_points(adata, key, layer), key, projection, random_state) for key in bases]
    order = np.random.default_rng(random_state).permutation(adata.n_obs)  # so that no category covers all others
    palettes = {name: _palette(adata, name, values) for name, values in columns.items()}
    with drawing(len(colors) * len(planes), ax, show=show, save=save, columns=len(planes), size=(4.6, 4.0)) as panels:
        named: dict[str, list[tuple[list[Annotation], bool]]] = {}
        for i, panel in enumerate(panels):
            name, (points, axes) = colors[i // len(planes)], planes[i % len(planes)]
            panel.set(xlabel=axes[0], ylabel=axes[1], xticks=[], yticks=[])
            panel.set_title(bases[i % len(planes)] + (f" by {name}" if name else ""))
            drawn = _draw(panel, points, columns.get(name or ""), order, palettes.get(name or "", []))
            if name is not None and drawn[0]:
                named.setdefault(name, []).append(drawn)
        for name, row in named.items():
            if any(not apart or collide(panels[0].figure, labels) for labels, apart in row):
                for label in itertools.chain(*(labels for labels, _ in row)):
                    label.remove()
                _list_beside(panels[(colors.index(name) + 1) * len(planes) - 1], columns[name].astype("category"), palettes[name])
    return panels


def _column(adata: AnnData, name: str, layer: str | None) -> pd.Series:
    """A column of ``obs``, or the values of a gene."""
    if name in adata.obs:
        return adata.obs[name]
    if name not in adata.var_names:
        raise unknown("obs column or gene", name, [*adata.obs.columns, *adata.var_names])
    x = matrix(adata, layer)
    column = x[:, [int(np.flatnonzero(adata.var_names == name)[0])]]
    values = np.asarray(column.todense() if sp.issparse(column) else column, np.float64).ravel()
    if np.isnan(values).all():
        raise ConfigError(
            f"{name} has no values in {'X' if layer is None else f'layers[{layer!r}]'}: it was not modelled. Mark it with "
            "keep_genes before the fit, or name another layer."
        )
    if not is_counts(x):
        return pd.Series(values, adata.obs_names, name=name)
    total = np.asarray(x.sum(1), np.float64).ravel()
    return pd.Series(np.log1p(values / np.maximum(total, 1) * 1e4), adata.obs_names, name=f"{name}, log1p(CP10k)")


def _is_number(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _palette(adata: AnnData, name: str, values: pd.Series) -> list[str]:
    """The colours of categories, in order: those in ``uns``, where scanpy has them; written there if there are none."""
    from matplotlib.colors import is_color_like

    if _is_number(values):
        return []
    key, n = f"{name}_colors", len(values.astype("category").cat.categories)
    kept = list(adata.uns.get(key, ()))
    if len(kept) >= n and all(map(is_color_like, kept)):
        return kept
    found = list(COLORS if n <= len(COLORS) else MANY_COLORS)
    if key not in adata.uns and not adata.is_view:
        adata.uns[key] = [found[code % len(found)] for code in range(n)]
    return found


def _points(adata: AnnData, key: str, layer: str | None) -> NDArray:
    if key in adata.obsm:
        points = np.asarray(adata.obsm[key])
    elif key == "X_pca":
        own = layer if layer is not None and is_counts(matrix(adata, layer)) else None
        counts = matrix(adata, located(adata, DataKeys(layer=own))[0].layer)
        points = principal(sp.csr_matrix(counts), seed=0, max_rank=30)[0]
    else:
        raise unknown("obsm key", key, adata.obsm, hint="scae.tl.embed writes a latent.")
    if points.ndim != 2 or points.shape[1] < 2:
        raise ConfigError(f"obsm[{key!r}] has shape {points.shape}; allowed: at least two dimensions.")
    return points


def _plane(points: NDArray, key: str, projection: str, seed: int) -> tuple[NDArray, tuple[str, str]]:
    """Points ``(cells, 2)`` and the names of the axes."""
    if points.shape[1] == 2 or projection == "first":
        return points[:, :2], (f"{key} 1", f"{key} 2")
    if projection == "pca":
        from sklearn.decomposition import PCA

        fitted = PCA(2, random_state=seed).fit(points)
        share = fitted.explained_variance_ratio_
        return fitted.transform(points), (f"axis 1 ({share[0]:.0%} of variance)", f"axis 2 ({share[1]:.0%})")
    import scanpy as sc

    cells = AnnData(np.ascontiguousarray(points, np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecation warnings inside scanpy and umap
        sc.pp.neighbors(cells, use_rep="X", n_neighbors=min(15, cells.n_obs - 1), random_state=seed)
        sc.tl.umap(cells, random_state=seed)
    return cells.obsm["X_umap"], ("UMAP 1", "UMAP 2")


def _draw(
    panel: Axes, points: NDArray, values: pd.Series | None, order: NDArray, palette: list[str]
) -> tuple[list[Annotation], bool]:
    """Draw the cells of one panel; return the labels of its categories, if any, and whether the categories lie apart."""
    look: dict[str, Any] = {"s": float(np.clip(6000 / len(points), 1, 14)), "linewidths": 0, "rasterized": True}
    if values is None:
        panel.scatter(*points[order].T, **look, color=GREY)
    elif _is_number(values):
        from matplotlib import colormaps

        numbers = values.to_numpy(float)
        known = numbers[np.isfinite(numbers)]
        logarithmic = known.size > 0 and known.min() > 0 and known.max() > _WIDE * known.min()
        shades = colormaps["viridis"].with_extremes(bad=_MISSING)
        look |= {"c": numbers[order], "cmap": shades, "norm": "log" if logarithmic else "linear", "plotnonfinite": True}
        bar = panel.inset_axes((1.02, 0.15, 0.035, 0.7))  # attached to this panel only
        label = f"{values.name} (logarithmic)" if logarithmic else str(values.name)
        panel.figure.colorbar(panel.scatter(*points[order].T, **look), cax=bar, label=label)
    else:
        return _categories(panel, points, values.astype("category"), order, look, palette)
    return [], True


def _categories(
    panel: Axes, points: NDArray, values: pd.Series, order: NDArray, look: dict[str, Any], palette: list[str]
) -> tuple[list[Annotation], bool]:
    """Draw the categories, with the next marker where the colours end, and name each of them near its median.

    Categories lie apart if more than four in five cells are nearer to the name of their own category than to any other.
    """
    codes, places = values.cat.codes.to_numpy(), {}
    shades, n = np.array(palette), len(palette)
    if (codes < 0).any():
        panel.scatter(*points[order[codes[order] < 0]].T, **look, color=_MISSING)
    for start in range(0, len(values.cat.categories), n):
        here = order[(codes[order] >= start) & (codes[order] < start + n)]
        look |= {"c": shades[codes[here] - start], "marker": _look(start, palette)[1]}
        panel.scatter(*points[here].T, **look)
    for code in np.unique(codes[codes >= 0]):
        own = points[codes == code]
        middle = np.median(own, axis=0)
        places[code] = own[
            np.argmin(((own - middle) ** 2).sum(1))
        ]  # the cell nearest to the median, not a gap between two groups
    names = [beside(panel, x, y, str(values.cat.categories[c]), ha="center", xytext=(0, 0)) for c, (x, y) in places.items()]
    if (codes < 0).any() or not places:
        return names, False  # only a legend can name missing values
    nearest = np.argmin([((points - place) ** 2).sum(1) for place in places.values()], axis=0)
    return names, bool(np.mean(np.array(list(places))[nearest] == codes) > 0.8)


def _look(code: int, palette: list[str]) -> tuple[str, str]:
    return palette[code % len(palette)], MARKERS[code // len(palette) % len(MARKERS)]


def _list_beside(panel: Axes, values: pd.Series, palette: list[str]) -> None:
    """A legend to the right, for categories whose names would overlap."""
    from matplotlib.lines import Line2D

    looks = [(str(name), *_look(code, palette)) for code, name in enumerate(values.cat.categories)]
    looks += [("missing", _MISSING, "o")] if values.isna().any() else []
    keys = [Line2D([], [], ls="", marker=marker, color=color, markersize=5, label=name) for name, color, marker in looks]
    columns = 1 + (len(keys) - 1) // _ROWS
    panel.legend(handles=keys, loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, handletextpad=0.1, ncols=columns)
