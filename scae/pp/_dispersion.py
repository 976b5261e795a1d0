"""Genes by their dispersion against genes of like mean: the flavours ``seurat`` and ``cell_ranger``."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from ..errors import CountsError
from ..kernels import sums
from ._calls import log
from ._matrix import get_rep
from ._moments import Groups, group_sums, mean_var

_MAD_OF_NORMAL = 0.6744897501960817  # the upper quartile of the standard normal


class Cutoffs(NamedTuple):
    """Open bounds of a highly variable gene."""

    min_disp: float
    max_disp: float
    min_mean: float
    max_mean: float

    def hold(self, mean: Any, dispersion: Any) -> Any:
        within = (mean > self.min_mean) & (mean < self.max_mean)
        return within & (dispersion > self.min_disp) & (dispersion < self.max_disp)


def by_dispersion(
    adata: AnnData, flavor: str, layer: str | None, batch_key: str | None, n_bins: int, cutoff: Cutoffs | int
) -> tuple[pd.DataFrame, list[str]]:
    """The table of genes, and which of its columns belong in ``var``."""
    x = get_rep(adata, layer=layer)
    if batch_key:
        adata.strings_to_categoricals()
    groups = Groups.of(adata.obs[batch_key] if batch_key else None, adata.n_obs)
    prepare = _Expm1(adata.uns.get("log1p", {}).get("base")) if flavor == "seurat" else None
    total = group_sums(x, groups, sums.SQUARES, prepare).sums
    columns = ["highly_variable", "means", "dispersions", "dispersions_norm"]
    if not batch_key:
        table = one_batch(*mean_var(total[0], adata.n_obs), flavor, n_bins, cutoff)
        table.index = adata.var_names
    else:
        expressed = group_sums(x, groups, sums.POSITIVE).sums[:, :, 1] > 0
        parts = [
            _expressed_only(*mean_var(t, n), e, flavor, n_bins, cutoff)
            for t, n, e in zip(total, groups.sizes, expressed, strict=True)
        ]
        table = _merge(parts, adata.var_names, cutoff)
        columns += ["highly_variable_nbatches", "highly_variable_intersection"]
    return table, columns


class _Expm1:
    """From logarithms back to values, whatever the base (an object, so that dask can send it to its workers)."""

    def __init__(self, base: float | None) -> None:
        self.scale = 1.0 if base is None else float(np.log(base))

    def __call__(self, values: NDArray) -> NDArray:
        return np.expm1(values) if self.scale == 1.0 else np.expm1(values * self.scale)


def one_batch(mean: NDArray, var: NDArray, flavor: str, n_bins: int, cutoff: Cutoffs | int) -> pd.DataFrame:
    """Means, dispersions, their bins, normalised dispersions and the mark, gene by gene."""
    if not np.isfinite(mean).all():
        raise CountsError(
            f"{(~np.isfinite(mean)).sum()} genes have no finite mean: flavor={flavor!r} expects log1p values without NaN "
            "('seurat' takes their exponential). Run scae.pp.log1p first, or choose flavor='seurat_v3' for counts."
        )
    mean = np.where(mean == 0, 1e-12, mean)
    dispersion = var / mean
    if flavor == "seurat":
        dispersion[dispersion == 0] = np.nan
        with np.errstate(invalid="ignore"):
            dispersion, mean = np.log(dispersion), np.log1p(mean)
    table = pd.DataFrame({"means": mean, "dispersions": dispersion})
    if flavor == "seurat":
        bins: Any = n_bins
    else:  # means that tie make edges that tie
        bins = np.unique(np.r_[-np.inf, np.percentile(mean, np.arange(10, 105, 5)), np.inf])
    binned = pd.cut(table["means"], bins=bins, duplicates="drop")
    if binned.isna().any():  # means that differ by less than edges can: the lowest lies on the first edge
        binned = pd.cut(table["means"], bins=bins, duplicates="drop", include_lowest=True)
    table["mean_bin"] = binned
    centre, spread = _bin_statistics(table, flavor)
    norm = (dispersion - centre) / spread
    table["dispersions_norm"] = norm
    table["highly_variable"] = _marked(mean, norm, cutoff)
    return table


def _bin_statistics(table: pd.DataFrame, flavor: str) -> tuple[NDArray, NDArray]:
    """Centre and spread of the dispersions in each gene's bin."""
    binned = table.groupby("mean_bin", observed=True)["dispersions"]
    codes = binned.ngroup().to_numpy()
    if flavor == "seurat":
        centre, spread = binned.mean().to_numpy(copy=True), binned.std().to_numpy(copy=True)
        alone = np.isnan(spread)  # a gene alone in its bin gets the normalised dispersion 1
        spread[alone], centre[alone] = centre[alone], 0
    else:
        centre = binned.median().to_numpy()
        values = table["dispersions"].to_numpy()
        spread = np.array([np.median(np.abs(v - np.median(v))) for v in (values[codes == i] for i in range(centre.size))])
        spread = spread / _MAD_OF_NORMAL
    outside = codes < 0  # a mean that is not a number has no bin
    return np.where(outside, np.nan, centre[codes]), np.where(outside, np.nan, spread[codes])


def _marked(mean: NDArray, norm: NDArray, cutoff: Cutoffs | int) -> NDArray[np.bool_]:
    if isinstance(cutoff, Cutoffs):
        return cutoff.hold(mean, np.nan_to_num(norm))
    known = norm[~np.isnan(norm)]
    top = cutoff
    if top > norm.size:
        log.info("`n_top_genes` > `adata.n_var`, returning all genes.")
        top = norm.size
    if top > known.size:
        message = "`n_top_genes` > number of normalized dispersions, returning all genes with normalized dispersions."
        warnings.warn(message, UserWarning, stacklevel=6)
        top = known.size
    if top == 0:
        return np.zeros(norm.size, bool)
    return np.nan_to_num(norm, nan=-np.inf) >= np.sort(known)[known.size - top]


def _expressed_only(
    mean: NDArray, var: NDArray, expressed: NDArray[np.bool_], flavor: str, n_bins: int, cutoff: Cutoffs | int
) -> pd.DataFrame:
    """Statistics of one batch: genes that it does not express take no part and get zeros."""
    names = ["means", "dispersions", "dispersions_norm", "highly_variable"]
    table = pd.DataFrame(0.0, index=range(mean.size), columns=names)
    if expressed.any():
        found = one_batch(mean[expressed], var[expressed], flavor, n_bins, cutoff)[names].astype(float)
        table.loc[expressed] = found.to_numpy()
    return table


def _merge(parts: list[pd.DataFrame], names: pd.Index, cutoff: Cutoffs | int) -> pd.DataFrame:
    """Batches averaged; genes ordered by the number of batches that mark them, then by normalised dispersion."""
    stack = np.stack([part.to_numpy() for part in parts])  # (batches, genes, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a gene without a dispersion in any batch stays without one
        table = pd.DataFrame(np.nanmean(stack, axis=0), index=names, columns=parts[0].columns)
    table["highly_variable"] = table["highly_variable_nbatches"] = stack[:, :, 3].sum(axis=0).astype(np.int64)
    table["highly_variable_intersection"] = table["highly_variable_nbatches"] == len(parts)
    table["_place"] = np.arange(len(names))
    table = table.sort_index(kind="stable")  # names break ties
    if isinstance(cutoff, Cutoffs):
        table["dispersions_norm"] = table["dispersions_norm"].fillna(0)
        table["highly_variable"] = cutoff.hold(table["means"], table["dispersions_norm"])
    else:
        table = table.sort_values(["highly_variable_nbatches", "dispersions_norm"], ascending=False, na_position="last")
        table["highly_variable"] = np.arange(len(table)) < cutoff
        table = table.sort_values("_place")
    return table.drop(columns="_place")
