"""Genes by the variance of their analytic Pearson residuals."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from ..kernels import sums
from ..kernels.residuals import residual_sums
from ..kernels.rows import Rows
from ._loess import merged_ranks
from ._matrix import added, each_block, get_rep
from ._moments import Groups, group_sums, mean_var


def by_residuals(
    adata: AnnData,
    layer: str | None,
    n_top: int | None,
    batch_key: str | None,
    check_values: bool,
    theta: float,
    clip: float | None,
) -> tuple[pd.DataFrame, list[str]]:
    """The table of genes, and which of its columns belong in ``var``."""
    if n_top is None:
        raise ValueError("`pp.highly_variable_genes` requires the argument `n_top_genes` for `flavor='pearson_residuals'`")
    x = get_rep(adata, layer=layer)
    groups = Groups.of(None if batch_key is None else adata.obs[batch_key], adata.n_obs)
    found = group_sums(x, groups, sums.SQUARES)
    if check_values and not found.counts:
        message = "`flavor='pearson_residuals'` expects raw count data, but non-integers were found."
        warnings.warn(message, UserWarning, stacklevel=4)
    if theta <= 0:
        raise ValueError(f"Pearson residuals require theta > 0. You provided {theta}.")
    if clip is not None and clip < 0:
        raise ValueError(f"Pearson residuals require `clip>=0` or `clip=None`. You provided {clip}.")
    limit = float(np.sqrt(groups.sizes[0])) if clip is None else float(clip)  # scanpy keeps the first batch's
    variance = _variances(x, groups, found.sums, theta, limit)
    rank, n_batches = merged_ranks(variance, n_top)
    mean, var = mean_var(found.sums.sum(axis=0), int(groups.sizes.sum()))
    marked = np.zeros(adata.n_vars, bool)
    marked[np.lexsort((rank, -n_batches))[:n_top]] = True
    columns: dict[str, Any] = {
        "means": mean,
        "variances": var,
        "residual_variances": variance.mean(axis=0),
        "highly_variable_rank": rank,
    }
    if batch_key is not None:
        columns |= {
            "highly_variable_nbatches": n_batches,
            "highly_variable_intersection": n_batches == groups.sizes.size,
        }
    return pd.DataFrame(columns | {"highly_variable": marked}, index=adata.var_names), [*columns, "highly_variable"]


def _variances(x: Any, groups: Groups, total: NDArray[np.float64], theta: float, clip: float) -> NDArray[np.float64]:
    """``(batches, genes)``: variance of the residuals over a batch's cells; 0 for genes that it does not express."""
    genes = total[:, :, 0]
    shares = np.divide(genes, genes.sum(axis=1, keepdims=True), out=np.zeros_like(genes), where=genes > 0)

    def of(block: Rows, start: int) -> NDArray[np.float64]:
        parts = zip(groups.split(block, start), shares, strict=True)
        return np.stack([residual_sums(part, sums.rows(part)[:, 0], share, theta, clip) for part, share in parts])

    found = added(each_block(x, of))  # (batches, genes, 2)
    n = groups.sizes[:, None]
    mean = found[:, :, 0] / n
    return np.where(genes > 0, found[:, :, 1] / n - mean**2, 0.0)
