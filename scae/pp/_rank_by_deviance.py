"""Rank genes by their deviance from a model in which each gene has the same share of the counts in every cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from ..errors import ConfigError, unknown
from ..kernels import ratios, sums
from ..kernels.rows import Rows
from ._arguments import batches, need_whole, refuse_backed_change
from ._calls import copy_if_view
from ._contract import need_counts
from ._matrix import added, each_block, get_rep
from ._moments import Groups, group_sums
from ._slots import check_slots
from ._subset import subset as subset_adata

_FAMILIES = ("binomial", "poisson")


def rank_by_deviance(
    adata: AnnData,
    *,
    n_top_genes: int | None = None,
    family: str = "binomial",
    layer: str | None = None,
    batch_key: str | None = None,
    subset: bool = False,
    inplace: bool = True,
) -> pd.DataFrame | None:
    """Rank genes by their deviance from a null model of constant expression.

    In the null model, a gene has the same share of the counts in every cell. A large deviance means that the gene varies more
    between cells than sampling alone explains, so these genes are informative.

    Parameters
    ----------
    adata : AnnData
        Cells × genes, counts; sparse, dense, dask or backed.
    n_top_genes : int, optional
        Number of genes to mark as ``highly_variable``. By default no genes are marked.
    family : {"binomial", "poisson"}
        Distribution of the counts in the null model. The Poisson model approximates the binomial one.
    layer : str, optional
        Layer to use; ``X`` by default.
    batch_key : str, optional
        Column of ``obs`` with the batches. The shares of the null model are estimated per batch, and the deviances of the
        batches are added up.
    subset : bool
        Keep only the marked genes.
    inplace : bool
        If true, write to ``var``. If false, return the table.

    Returns
    -------
    None or DataFrame
        With ``inplace=False``, a table with one row per gene: ``deviance`` (float64, in nats; 0 for genes without counts),
        ``deviance_rank`` (int64, 0 for the largest deviance) and, if ``n_top_genes`` is given, ``highly_variable`` (bool).

    Raises
    ------
    MissingKeyError
        If there is no such family, layer or column.
    ConfigError
        If ``subset=True`` is given without ``n_top_genes``, or ``n_top_genes`` is not a whole number of at least 1.
    CountsError
        If a value is not a count, or cells have no batch.
    MatrixError
        If the arrays of a sparse matrix contradict each other.

    References
    ----------
    Townes, Hicks, Aryee and Irizarry (2019), Feature selection and dimension reduction for single-cell RNA-Seq based on a
    multinomial model, Genome Biology 20:295.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> adata = anndata.AnnData(np.array([[9.0, 1, 5], [1, 9, 5]], "float32"))
    >>> rank_by_deviance(adata, inplace=False)["deviance_rank"].tolist()
    [0, 1, 2]
    """
    if family not in _FAMILIES:
        raise unknown("family", family, _FAMILIES)
    if subset and n_top_genes is None:
        raise ConfigError("subset=True needs n_top_genes: give the number of genes to keep.")
    if n_top_genes is not None:
        n_top_genes = need_whole("n_top_genes", n_top_genes, 1)
    x = get_rep(adata, "rank_by_deviance", layer=layer, on_disk=True)
    groups = Groups.of(batches(adata.obs, batch_key), adata.n_obs)
    if inplace:
        refuse_backed_change(adata, "rank_by_deviance", whole=subset)
    if subset and inplace:
        check_slots(adata)
    need_counts(adata, x, layer)
    deviance = _deviances(x, groups, binomial=family == "binomial").sum(axis=0)
    rank = np.empty(adata.n_vars, np.int64)
    rank[np.argsort(-deviance, kind="stable")] = np.arange(adata.n_vars)
    table = pd.DataFrame({"deviance": deviance, "deviance_rank": rank}, index=adata.var_names)
    if n_top_genes is not None:
        table["highly_variable"] = rank < n_top_genes
    if not inplace:
        return table[table["highly_variable"]] if subset else table
    copy_if_view(adata)
    adata.var[table.columns] = table
    if subset:
        subset_adata(adata, genes=table["highly_variable"].to_numpy())
    return None


def _deviances(x: Any, groups: Groups, *, binomial: bool) -> NDArray[np.float64]:
    """Return the deviance of each gene in each batch, ``(batches, genes)``, in nats."""
    total = group_sums(x, groups, sums.POSITIVE).sums[:, :, 0]

    def saturated_sums(block: Rows, start: int) -> NDArray[np.float64]:
        parts = groups.split(block, start)
        return np.stack([ratios.deviance_sums(part, sums.rows(part)[:, 0], binomial=binomial) for part in parts])

    saturated = added(each_block(x, saturated_sums))
    batch_total = total.sum(axis=1, keepdims=True)
    share = np.divide(total, batch_total, out=np.zeros_like(total), where=batch_total > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        null = np.where(total > 0, total * np.log(share), 0.0)
        if binomial:
            null += np.where(share < 1, (batch_total - total) * np.log1p(-share), 0.0)
    return np.maximum(2 * (saturated - null), 0.0)  # rounding can make a deviance of 0 negative
