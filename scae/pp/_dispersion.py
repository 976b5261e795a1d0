"""Highly variable genes by normalised dispersion: the flavours ``seurat`` and ``cell_ranger``.

Genes are binned by their mean. The dispersion of a gene, variance / mean, is normalised by the centre and spread of the
dispersions in its bin.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import CountsError
from ..kernels import sums
from ._calls import log
from ._moments import Ranked, coarse, group_sums, mean_var

_MAD_OF_NORMAL = 0.6744897501960817  # median absolute deviation of the standard normal: its upper quartile


class Cutoffs(NamedTuple):
    """Exclusive limits on the normalised dispersion and the mean of a highly variable gene."""

    min_disp: float
    max_disp: float
    min_mean: float
    max_mean: float

    def contain(self, mean: Any, dispersion: Any) -> Any:
        """Return which genes lie within the limits."""
        within = (mean > self.min_mean) & (mean < self.max_mean)
        return within & (dispersion > self.min_disp) & (dispersion < self.max_disp)


def by_dispersion(
    data: Ranked, flavor: str, n_bins: int, cutoff: Cutoffs | int, base: float | None
) -> tuple[pd.DataFrame, list[str]]:
    """Return the table of genes and the names of the columns to write to ``var``; ``base`` is that of the logarithms."""
    groups = data.groups
    total = group_sums(data.x, groups, sums.SQUARES, _Expm1(base) if flavor == "seurat" else None).sums
    columns = ["highly_variable", "means", "dispersions", "dispersions_norm"]
    if data.labels is None:
        table = one_batch(*mean_var(total[0], data.x.shape[0]), flavor, n_bins, cutoff)
        table.index = data.names
    else:
        expressed = group_sums(data.x, groups, sums.POSITIVE).sums[:, :, 1] > 0
        parts = [
            _expressed_only(*mean_var(t, n), e, flavor, n_bins, cutoff)
            for t, n, e in zip(total, groups.sizes, expressed, strict=True)
        ]
        table = _merge(parts, data.names, cutoff)
        columns += ["highly_variable_nbatches", "highly_variable_intersection"]
    return table, columns


class _Expm1:
    """The inverse of log1p for any base; a class, so that dask can pickle it."""

    def __init__(self, base: float | None) -> None:
        self.scale = 1.0 if base is None else float(np.log(base))

    def __call__(self, values: NDArray) -> NDArray:
        return np.expm1(values) if self.scale == 1.0 else np.expm1(values * self.scale)


def one_batch(mean: NDArray, var: NDArray, flavor: str, n_bins: int, cutoff: Cutoffs | int) -> pd.DataFrame:
    """Compute the table of genes of one batch.

    Parameters
    ----------
    mean, var : array, shape (genes,)
        Mean and variance of each gene; of the values for ``cell_ranger``, of expm1 of the values for ``seurat``.
    flavor : {"seurat", "cell_ranger"}
        Flavour.
    n_bins : int
        Number of bins of the mean for ``seurat``.
    cutoff : Cutoffs or int
        The limits of a highly variable gene, or the number of genes to mark.

    Returns
    -------
    DataFrame
        One row per gene: ``means``, ``dispersions``, ``mean_bin``, ``dispersions_norm`` and ``highly_variable``.

    Raises
    ------
    CountsError
        If a mean is NaN or infinite.
    """
    if not np.isfinite(mean).all():
        raise CountsError(
            f"{(~np.isfinite(mean)).sum()} genes have a mean that is NaN or infinite: flavor={flavor!r} expects finite log1p "
            "values, and the exponential taken by 'seurat' overflows for large counts. Run scae.pp.log1p first, or choose "
            "flavor='seurat_v3' for counts."
        )
    mean = np.where(mean == 0, 1e-12, mean)
    mean, dispersion = coarse(mean), coarse(var / mean)  # genes with the same counts get the same bin, and no spread within it
    if flavor == "seurat":
        dispersion[dispersion == 0] = np.nan
        with np.errstate(invalid="ignore"):
            dispersion, mean = np.log(dispersion), np.log1p(mean)
    table = pd.DataFrame({"means": mean, "dispersions": dispersion})
    if flavor == "seurat":
        bins: Any = n_bins
    else:  # tied means give tied bin edges
        bins = np.unique(np.r_[-np.inf, np.percentile(mean, np.arange(10, 105, 5)), np.inf])
    binned = pd.cut(table["means"], bins=bins, duplicates="drop")
    if binned.isna().any():  # the means are so close that rounding puts the lowest on the first, exclusive edge
        binned = pd.cut(table["means"], bins=bins, duplicates="drop", include_lowest=True)
    table["mean_bin"] = binned
    centre, spread = _bin_statistics(table, flavor)
    norm = (dispersion - centre) / spread
    table["dispersions_norm"] = norm
    table["highly_variable"] = _marked(mean, norm, cutoff)
    return table


def _bin_statistics(table: pd.DataFrame, flavor: str) -> tuple[NDArray, NDArray]:
    """Return the centre and spread of the dispersions in the bin of each gene, ``(genes,)`` each."""
    binned = table.groupby("mean_bin", observed=True)["dispersions"]
    codes = binned.ngroup().to_numpy()
    if flavor == "seurat":
        centre, spread = binned.mean().to_numpy(copy=True), binned.std().to_numpy(copy=True)
        alone = np.isnan(spread)  # as in scanpy, a gene alone in its bin has normalised dispersion 1
        spread[alone], centre[alone] = centre[alone], 0
    else:
        centre = binned.median().to_numpy()
        values = table["dispersions"].to_numpy()
        spread = np.array([np.median(np.abs(v - np.median(v))) for v in (values[codes == i] for i in range(centre.size))])
        spread = spread / _MAD_OF_NORMAL
    outside = codes < 0  # genes without a bin
    return np.where(outside, np.nan, centre[codes]), np.where(outside, np.nan, spread[codes])


def _marked(mean: NDArray, norm: NDArray, cutoff: Cutoffs | int) -> NDArray[np.bool_]:
    """Return which genes are highly variable, ``(genes,)``; with a number of genes, ties at the end are all marked."""
    if isinstance(cutoff, Cutoffs):
        return cutoff.contain(mean, np.nan_to_num(norm))
    norm = coarse(np.round(norm, 9), 30)
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
    """Compute the table of one batch from the genes expressed in it; the other genes get zeros."""
    names = ["means", "dispersions", "dispersions_norm", "highly_variable"]
    table = pd.DataFrame(0.0, index=range(mean.size), columns=names)
    if expressed.any():
        statistics = one_batch(mean[expressed], var[expressed], flavor, n_bins, cutoff)[names].astype(float)
        table.loc[expressed] = statistics.to_numpy()
    return table


def _merge(parts: list[pd.DataFrame], names: pd.Index, cutoff: Cutoffs | int) -> pd.DataFrame:
    """Average the tables of the batches; rank genes by the number of batches that mark them, then by normalised dispersion."""
    stack = np.stack([part.to_numpy() for part in parts])  # (batches, genes, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a gene that has no dispersion in any batch keeps NaN
        # sorted, so that the rounding of the mean does not depend on the order of the batches
        table = pd.DataFrame(np.nanmean(np.sort(stack, axis=0), axis=0), index=names, columns=parts[0].columns)
    table["highly_variable"] = table["highly_variable_nbatches"] = stack[:, :, 3].sum(axis=0).astype(np.int64)
    table["highly_variable_intersection"] = table["highly_variable_nbatches"] == len(parts)
    table["_position"] = np.arange(len(names))
    table = table.sort_index(kind="stable")  # ties are broken by name
    if isinstance(cutoff, Cutoffs):
        table["dispersions_norm"] = table["dispersions_norm"].fillna(0)
        table["highly_variable"] = cutoff.contain(table["means"], table["dispersions_norm"])
    else:
        table["_score"] = coarse(np.round(table["dispersions_norm"].to_numpy(), 9), 30)
        table = table.sort_values(["highly_variable_nbatches", "_score"], ascending=False, na_position="last")
        table = table.drop(columns="_score")
        table["highly_variable"] = np.arange(len(table)) < cutoff
    return table.sort_values("_position").drop(columns="_position")
