"""Highly variable genes by the variance of their analytic Pearson residuals: the flavour ``pearson_residuals``."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import ConfigError
from ..kernels import sums
from ..kernels.residuals import residual_sums
from ..kernels.rows import Rows
from ._loess import merged_ranks
from ._matrix import added, each_block
from ._moments import Groups, Ranked, batch_mean, group_sums, mean_var


def by_residuals(
    data: Ranked, n_top: int | None, check_values: bool, theta: float, clip: float | None
) -> tuple[pd.DataFrame, list[str]]:
    """Return the table of genes and the names of the columns to write to ``var``."""
    if n_top is None:
        raise ConfigError("flavor='pearson_residuals' needs n_top_genes: give the number of genes to mark.")
    if isinstance(theta, bool) or not theta > 0:
        raise ConfigError(f"theta is {theta}. Give a number above 0 (np.inf for a Poisson null model).")
    if clip is not None and not clip >= 0:
        raise ConfigError(f"clip is {clip}. Give a number of at least 0, or None for the square root of the number of cells.")
    groups = data.groups
    moments = group_sums(data.x, groups, sums.SQUARES)
    if check_values and not moments.counts:
        message = "`flavor='pearson_residuals'` expects raw count data, but non-integers were found."
        warnings.warn(message, UserWarning, stacklevel=4)
    limits = np.sqrt(groups.sizes) if clip is None else np.full(groups.sizes.size, float(clip))
    variance = _variances(data.x, groups, moments.sums, theta, limits)
    rank, n_batches = merged_ranks(variance, n_top)
    mean, var = mean_var(moments.sums.sum(axis=0), int(groups.sizes.sum()))
    marked = np.zeros(mean.size, bool)
    marked[np.lexsort((rank, -n_batches))[:n_top]] = True
    columns: dict[str, Any] = {
        "means": mean,
        "variances": var,
        "residual_variances": batch_mean(variance),
        "highly_variable_rank": rank,
    }
    if data.labels is not None:
        columns |= {
            "highly_variable_nbatches": n_batches,
            "highly_variable_intersection": n_batches == groups.sizes.size,
        }
    return pd.DataFrame(columns | {"highly_variable": marked}, index=data.names), [*columns, "highly_variable"]


def _variances(x: Any, groups: Groups, total: NDArray[np.float64], theta: float, limits: NDArray) -> NDArray[np.float64]:
    """Return the variance of the residuals of each gene in each batch, ``(batches, genes)``; 0 for genes not expressed."""
    gene_totals = total[:, :, 0]
    shares = np.divide(gene_totals, gene_totals.sum(axis=1, keepdims=True), out=np.zeros_like(gene_totals), where=gene_totals > 0)

    def block_sums(block: Rows, start: int) -> NDArray[np.float64]:
        parts = zip(groups.split(block, start), shares, limits, strict=True)
        return np.stack([residual_sums(part, sums.rows(part)[:, 0], share, theta, clip) for part, share, clip in parts])

    sums_of_residuals = added(each_block(x, block_sums))  # (batches, genes, 2): Σr and Σr²
    n = groups.sizes[:, None]
    mean = sums_of_residuals[:, :, 0] / n
    return np.where(gene_totals > 0, sums_of_residuals[:, :, 1] / n - mean**2, 0.0)
