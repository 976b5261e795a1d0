"""Genes by their variance against a local regression on the mean: ``seurat_v3`` and ``seurat_v3_paper``."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from ..kernels import sums
from ..kernels.rows import Rows
from ._calls import log
from ._matrix import added, each_block, get_rep
from ._moments import Groups, group_sums, mean_var


def by_loess(
    adata: AnnData, flavor: str, layer: str | None, n_top: int, batch_key: str | None, check_values: bool, span: float
) -> tuple[pd.DataFrame, list[str]]:
    """The table of genes, and which of its columns belong in ``var``."""
    x = get_rep(adata, layer=layer)
    groups = Groups.of(None if batch_key is None else adata.obs[batch_key], adata.n_obs)
    found = group_sums(x, groups, sums.SQUARES)
    if check_values and not found.counts:
        message = f"`flavor={flavor!r}` expects raw count data, but non-integers were found."
        warnings.warn(message, UserWarning, stacklevel=4)
    mean, var = mean_var(found.sums.sum(axis=0), int(groups.sizes.sum()))
    variances_norm = _normalised(x, groups, found.sums, span)
    rank, n_batches = merged_ranks(variances_norm, n_top)
    order = np.lexsort((-n_batches, rank) if flavor == "seurat_v3" else (rank, -n_batches))
    marked = np.zeros(adata.n_vars, bool)
    marked[order[: int(n_top)]] = True
    columns: dict[str, Any] = {"means": mean, "variances": var, "gene_name": adata.var_names}
    if batch_key is not None:
        columns["highly_variable_nbatches"] = n_batches
    columns |= {"highly_variable_rank": rank, "variances_norm": variances_norm.mean(axis=0), "highly_variable": marked}
    table = pd.DataFrame(columns, index=adata.var_names)
    written = ["highly_variable", "highly_variable_rank", "means", "variances", "variances_norm"]
    return table, written + (["highly_variable_nbatches"] if batch_key is not None else [])


def _normalised(x: Any, groups: Groups, total: NDArray[np.float64], span: float) -> NDArray[np.float64]:
    """``(batches, genes)``: variance of values that are standardised by the expected deviation and clipped at √cells."""
    means = np.stack([mean_var(t, n)[0] for t, n in zip(total, groups.sizes, strict=True)])
    deviations = np.stack([_expected(*mean_var(t, n), span) for t, n in zip(total, groups.sizes, strict=True)])
    ceilings = deviations * np.sqrt(groups.sizes)[:, None] + means

    def excess(block: Rows, start: int) -> NDArray[np.float64]:
        return np.stack([sums.clipped(part, c) for part, c in zip(groups.split(block, start), ceilings, strict=True)])

    kept = total - added(each_block(x, excess))
    n = groups.sizes[:, None]
    spread = n * means**2 + kept[:, :, 1] - 2 * kept[:, :, 0] * means
    return np.divide(spread, (n - 1) * deviations**2, out=np.zeros_like(spread), where=n > 1)


def _expected(mean: NDArray, var: NDArray, span: float) -> NDArray[np.float64]:
    """The standard deviation that a gene's mean lets expect; 1 for genes that do not vary."""
    log_var = np.zeros(mean.size)
    varies = var > 0
    if varies.any():
        log_var[varies] = _smooth(np.log10(mean[varies]), np.log10(var[varies]), span)
    return np.sqrt(10**log_var)


def _smooth(x: NDArray, y: NDArray, span: float) -> NDArray[np.float64]:
    """Local quadratic regression; where its equations are singular a wider span, at last one polynomial for all genes."""
    from skmisc.loess import loess

    if np.unique(x).size > 3:  # fewer points do not determine a local parabola
        for wider in (span, min(1.0, 2 * span), 1.0):
            if int(x.size * wider) < 3:  # where it is 0, scikit-misc ends the process
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
    """Median rank of each gene among the batches that have it in their top, and the number of these batches.

    Parameters
    ----------
    score
        ``(batches, genes)``; the largest has rank 0.
    n_top
        Genes a batch selects.
    """
    rank = np.argsort(np.argsort(-score, axis=1), axis=1).astype(np.float32)
    selected = rank < n_top
    rank[~selected] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # genes that no batch selects have no rank
        return np.nanmedian(rank, axis=0), selected.sum(axis=0)
