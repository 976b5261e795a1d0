"""Genes ranked by how badly a constant share of each cell's counts explains them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from ..errors import ConfigError, unknown
from ..kernels import ratios, sums
from ..kernels.rows import Rows
from ._calls import own
from ._matrix import added, each_block, get_rep
from ._moments import Groups, group_sums
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
    """Deviance of each gene from the null model that it makes up the same share of every cell's counts.

    Parameters
    ----------
    adata
        Cells × genes, counts; any kind of matrix.
    n_top_genes
        How many genes to mark as ``highly_variable``; None marks none.
    family
        ``"binomial"`` or its approximation ``"poisson"``.
    layer
        Layer to use in place of ``X``.
    batch_key
        Column of ``obs``: the shares are each batch's own and the deviances are added up.
    subset
        Keep only the marked genes.
    inplace
        Write to ``var``; else return the table.

    Returns
    -------
    None, or the table of genes: ``deviance`` (float64, nats; 0 for genes without counts), ``deviance_rank`` (int64, 0 is
    the largest) and with ``n_top_genes`` ``highly_variable``.

    Raises
    ------
    MissingKeyError
        If there is no such family or layer.
    ConfigError
        If ``subset`` is asked for without ``n_top_genes``.

    References
    ----------
    Townes, Hicks, Aryee and Irizarry (2019), Genome Biol 20:295.

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
        raise ConfigError("subset=True needs n_top_genes: how many genes to keep.")
    groups = Groups.of(None if batch_key is None else adata.obs[batch_key], adata.n_obs)
    deviance = _deviances(get_rep(adata, layer=layer), groups, binomial=family == "binomial").sum(axis=0)
    rank = np.empty(adata.n_vars, np.int64)
    rank[np.argsort(-deviance, kind="stable")] = np.arange(adata.n_vars)
    table = pd.DataFrame({"deviance": deviance, "deviance_rank": rank}, index=adata.var_names)
    if n_top_genes is not None:
        table["highly_variable"] = rank < n_top_genes
    if not inplace:
        return table[table["highly_variable"]] if subset else table
    own(adata)
    adata.var[table.columns] = table
    if subset:
        subset_adata(adata, genes=table["highly_variable"].to_numpy())
    return None


def _deviances(x: Any, groups: Groups, *, binomial: bool) -> NDArray[np.float64]:
    """``(batches, genes)``; the counts' part comes from stored values, the model's from totals."""
    total = group_sums(x, groups, sums.POSITIVE).sums[:, :, 0]

    def of(block: Rows, start: int) -> NDArray[np.float64]:
        parts = groups.split(block, start)
        return np.stack([ratios.deviance_sums(part, sums.rows(part)[:, 0], binomial=binomial) for part in parts])

    stored = added(each_block(x, of))
    everything = total.sum(axis=1, keepdims=True)
    share = np.divide(total, everything, out=np.zeros_like(total), where=everything > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        model = np.where(total > 0, total * np.log(share), 0.0)
        if binomial:
            model += np.where(share < 1, (everything - total) * np.log1p(-share), 0.0)
    return np.maximum(2 * (stored - model), 0.0)
