"""Highly variable genes: the one entry to all flavours."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from anndata import AnnData

from ._calls import old_positionals
from ._dispersion import Cutoffs, by_dispersion
from ._loess import by_loess
from ._pearson import by_residuals
from ._subset import subset as subset_adata

_LIMITS = {"min_disp": 0.5, "max_disp": np.inf, "min_mean": 0.0125, "max_mean": 3}


@old_positionals(
    *("layer", "n_top_genes", "min_disp", "max_disp", "min_mean", "max_mean", "span", "n_bins"),
    *("flavor", "subset", "inplace", "batch_key", "check_values"),
)
def highly_variable_genes(
    adata: AnnData,
    *,
    layer: str | None = None,
    n_top_genes: int | None = None,
    min_disp: float = _LIMITS["min_disp"],
    max_disp: float = _LIMITS["max_disp"],
    min_mean: float = _LIMITS["min_mean"],
    max_mean: float = _LIMITS["max_mean"],
    span: float = 0.3,
    n_bins: int = 20,
    flavor: str = "seurat",
    subset: bool = False,
    inplace: bool = True,
    batch_key: str | None = None,
    check_values: bool = True,
    theta: float = 100,
    clip: float | None = None,
    chunksize: int = 1000,
) -> pd.DataFrame | None:
    """Mark genes that vary more between cells than their mean lets expect.

    Drop-in for ``scanpy.pp.highly_variable_genes``, and with ``flavor="pearson_residuals"`` for the function of that
    name in ``scanpy.experimental.pp``.

    Parameters
    ----------
    adata
        Cells × genes. ``seurat`` and ``cell_ranger`` expect log1p values, the other flavours counts.
    layer
        Layer to use in place of ``X``.
    n_top_genes
        How many genes to mark. By default ``seurat`` and ``cell_ranger`` use the limits, ``seurat_v3`` takes 2000;
        ``pearson_residuals`` needs it.
    min_disp, max_disp, min_mean, max_mean
        Limits of normalised dispersion and of mean, where ``n_top_genes`` is None.
    span
        Share of the genes that each local fit of ``seurat_v3`` uses.
    n_bins
        Bins of the mean (``seurat``).
    flavor
        ``seurat``, ``cell_ranger``, ``seurat_v3``, ``seurat_v3_paper`` or ``pearson_residuals``.
    subset
        Keep only the marked genes.
    inplace
        Write to ``adata.var``; else return the table.
    batch_key
        Column of ``obs``: genes are ranked in each batch, then the ranks are merged.
    check_values
        Warn where a flavour that expects counts is given other values.
    theta, clip
        Overdispersion of the residuals' null model, and the largest residual (√cells by default).
    chunksize
        Without effect: residuals are never stored.

    Returns
    -------
    None, or the table of genes: ``highly_variable`` with ``means``, ``dispersions``, ``dispersions_norm`` (dispersion),
    ``variances``, ``variances_norm``, ``highly_variable_rank`` (seurat_v3) or ``residual_variances`` (residuals), and
    with ``batch_key`` ``highly_variable_nbatches`` and ``highly_variable_intersection``.

    Raises
    ------
    ValueError
        If ``adata`` is not AnnData, the flavour is unknown, or an option is out of range.

    References
    ----------
    Satija et al. (2015), Nat Biotechnol 33:495; Zheng et al. (2017), Nat Commun 8:14049; Stuart et al. (2019),
    Cell 177:1888; Lause et al. (2021), Genome Biol 22:258.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> counts = np.random.default_rng(0).poisson([0.5, 1, 5, 9, 20], (50, 5)).astype("float32")
    >>> adata = anndata.AnnData(np.log1p(counts))
    >>> highly_variable_genes(adata, n_top_genes=2, n_bins=2)
    >>> int(adata.var["highly_variable"].sum())
    2
    """
    del chunksize
    if not isinstance(adata, AnnData):
        raise ValueError(
            "`pp.highly_variable_genes` expects an `AnnData` argument, "
            "pass `inplace=False` if you want to return a `pd.DataFrame`."
        )
    if flavor in {"seurat_v3", "seurat_v3_paper"}:
        top = 2000 if n_top_genes is None else n_top_genes
        table, columns = by_loess(adata, flavor, layer, top, batch_key, check_values, span)
    elif flavor == "pearson_residuals":
        table, columns = by_residuals(adata, layer, n_top_genes, batch_key, check_values, theta, clip)
    elif flavor in {"seurat", "cell_ranger"}:
        cutoff = _cutoff(n_top_genes, min_disp, max_disp, min_mean, max_mean)
        table, columns = by_dispersion(adata, flavor, layer, batch_key, n_bins, cutoff)
    else:
        raise ValueError(
            '`flavor` needs to be "seurat" or "cell_ranger", or on counts "seurat_v3", "seurat_v3_paper" '
            f'or "pearson_residuals"; you provided {flavor!r}.'
        )
    if not inplace:
        return table.loc[table["highly_variable"].to_numpy()] if subset else table
    adata.uns["hvg"] = {"flavor": flavor}
    if flavor == "pearson_residuals":
        adata.uns["hvg"]["computed_on"] = layer or "adata.X"
    ordered = table if table.index.equals(adata.var_names) else table.loc[adata.var_names]
    write_columns(adata.var, ordered, columns)
    if subset:
        subset_adata(adata, genes=ordered["highly_variable"].to_numpy())
    return None


def write_columns(var: pd.DataFrame, table: pd.DataFrame, columns: list[str]) -> None:
    """Columns of the table in the types in which scanpy stores them."""
    for name in columns:
        values = table[name].to_numpy()
        var[name] = values.astype(np.float32) if name == "dispersions_norm" else values


def _cutoff(n_top_genes: int | None, *limits: float) -> Cutoffs | int:
    if n_top_genes is None:
        return Cutoffs(*limits)
    if limits != tuple(_LIMITS.values()):
        warnings.warn("If you pass `n_top_genes`, all cutoffs are ignored.", UserWarning, stacklevel=4)
    return n_top_genes
