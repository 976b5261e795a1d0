"""Highly variable genes by standardised variance: the flavours ``seurat_v3`` and ``seurat_v3_paper``.

The expected variance of a gene comes from a local regression (LOESS) of the log variances of all genes on their log means.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..kernels import sums
from ..kernels.rows import Rows
from ._calls import log
from ._matrix import added, each_block
from ._moments import Groups, Ranked, batch_mean, coarse, group_sums, mean_var


def by_loess(data: Ranked, flavor: str, n_top: int, check_values: bool, span: float) -> tuple[pd.DataFrame, list[str]]:
    """Return the table of genes and the names of the columns to write to ``var``."""
    groups = data.groups
    moments = group_sums(data.x, groups, sums.SQUARES)
    if check_values and not moments.counts:
        message = f"`flavor={flavor!r}` expects raw count data, but non-integers were found."
        warnings.warn(message, UserWarning, stacklevel=4)
    mean, var = mean_var(moments.sums.sum(axis=0), int(groups.sizes.sum()))
    variances_norm = _normalised(data.x, groups, moments.sums, span)
    rank, n_batches = merged_ranks(variances_norm, n_top)
    order = np.lexsort((-n_batches, rank) if flavor == "seurat_v3" else (rank, -n_batches))
    marked = np.zeros(mean.size, bool)
    marked[order[: int(n_top)]] = True
    columns: dict[str, Any] = {"means": mean, "variances": var, "gene_name": data.names}
    if data.labels is not None:
        columns["highly_variable_nbatches"] = n_batches
    columns |= {"highly_variable_rank": rank, "variances_norm": batch_mean(variances_norm), "highly_variable": marked}
    table = pd.DataFrame(columns, index=data.names)
    written = ["highly_variable", "highly_variable_rank", "means", "variances", "variances_norm"]
    return table, written + (["highly_variable_nbatches"] if data.labels is not None else [])


def _normalised(x: Any, groups: Groups, total: NDArray[np.float64], span: float) -> NDArray[np.float64]:
    """Return the variance of the standardised values of each gene in each batch, ``(batches, genes)``.

    Values are divided by the expected standard deviation and clipped at the square root of the number of cells.
    """
    means = np.stack([mean_var(t, n)[0] for t, n in zip(total, groups.sizes, strict=True)])
    deviations = np.stack([_expected(*mean_var(t, n), span) for t, n in zip(total, groups.sizes, strict=True)])
    ceilings = deviations * np.sqrt(groups.sizes)[:, None] + means

    def clipped_part(block: Rows, start: int) -> NDArray[np.float64]:
        return np.stack([sums.clipped(part, c) for part, c in zip(groups.split(block, start), ceilings, strict=True)])

    clipped = total - added(each_block(x, clipped_part))
    n = groups.sizes[:, None]
    squared_deviations = n * means**2 + clipped[:, :, 1] - 2 * clipped[:, :, 0] * means
    return np.divide(squared_deviations, (n - 1) * deviations**2, out=np.zeros_like(squared_deviations), where=n > 1)


def _expected(mean: NDArray, var: NDArray, span: float) -> NDArray[np.float64]:
    """Return the standard deviation expected from the mean of each gene, ``(genes,)``; 1 for genes with zero variance."""
    log_var = np.zeros(mean.size)
    varies = var > 0
    if varies.any():
        log_var[varies] = _smooth(np.log10(mean[varies]), np.log10(var[varies]), span)
    return np.sqrt(10**log_var)


def _smooth(x: NDArray, y: NDArray, span: float) -> NDArray[np.float64]:
    """Fit a local quadratic regression; if it is singular, try wider spans, and finally one polynomial for all genes."""
    from skmisc.loess import loess

    if np.unique(x).size > 3:  # a local parabola needs more than three different points
        for wider in (span, min(1.0, 2 * span), 1.0):
            if int(x.size * wider) < 3:  # scikit-misc crashes the process if no point is in the span
                continue
            model = loess(x, y, span=wider, degree=2)
            try:
                model.fit()
            except ValueError as error:
                log.info("the local regression with span %g is singular (%s)", wider, error)
                continue
            if np.isfinite(model.outputs.fitted_values).all():
                return model.outputs.fitted_values
    degree = min(2, np.unique(x).size - 1)
    return np.polynomial.Polynomial.fit(x, y, degree)(x) if degree else np.full(x.size, y.mean())


def merged_ranks(score: NDArray[np.float64], n_top: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Merge the rankings of the batches.

    Parameters
    ----------
    score : array, shape (batches, genes)
        Score of each gene in each batch; the largest has rank 0.
    n_top : int
        Number of genes selected per batch.

    Returns
    -------
    array, shape (genes,), float32
        Median rank of each gene over the batches that select it; NaN if no batch does.
    array, shape (genes,), int64
        Number of batches that select the gene.
    """
    rank = np.argsort(np.argsort(-coarse(score, 30), axis=1), axis=1).astype(np.float32)
    selected = rank < n_top
    rank[~selected] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nanmedian warns about genes that no batch selects
        return np.nanmedian(rank, axis=0), selected.sum(axis=0)
