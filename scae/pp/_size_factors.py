"""Compute size factors: the sequencing depth of each cell relative to the mean of all cells."""

from __future__ import annotations

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from ..errors import unknown
from ..kernels import ratios, sums
from ..kernels.rows import Rows
from ._arguments import need_free, need_key, note_written, refuse_backed_change
from ._calls import copy_if_view
from ._contract import need_counts
from ._matrix import added, each_block, get_rep, stacked

_METHODS = ("total", "median_of_ratios")


def _logs(values: NDArray) -> NDArray:
    """Return the logarithm of positive values and 0 for others."""
    return np.log(np.where(values > 0, values, 1))


def _medians(block: Rows, reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median ratio of each cell of a block to the reference, ``(cells,)``."""
    sums.rows(block)  # checks the column numbers, which `median_ratios` does not
    return ratios.median_ratios(block, reference)


def size_factors(
    adata: AnnData,
    method: str = "total",
    *,
    layer: str | None = None,
    key_added: str = "size_factors",
    inplace: bool = True,
) -> NDArray[np.float64] | None:
    """Compute the size factor of each cell: its sequencing depth relative to the mean of all cells.

    Parameters
    ----------
    adata : AnnData
        Cells × genes, counts; sparse, dense, dask or backed.
    method : {"total", "median_of_ratios"}
        ``"total"``: the total count of the cell. ``"median_of_ratios"``: the median of count / reference over the genes that the
        cell expresses. The reference of a gene is exp(Σ log count / n), where the sum runs over the cells that express the gene
        and n is the number of all cells.
    layer : str, optional
        Layer to use; ``X`` by default.
    key_added : str
        Column of ``obs`` to write. A column that scae wrote before is replaced; ``uns["scae"]["written"]`` lists what scae wrote.
    inplace : bool
        If true, write the factors to ``obs``. If false, return them.

    Returns
    -------
    None or array, shape (cells,), float64
        With ``inplace=False``, the size factors. Cells without counts have factor 0; the mean over the other cells is 1.

    Raises
    ------
    MissingKeyError
        If there is no such method or layer.
    ConfigError
        If ``key_added`` contains a slash, or names a column that scae did not write.
    CountsError
        If a value is not a count.
    MatrixError
        If the arrays of a sparse matrix contradict each other.

    References
    ----------
    Anders and Huber (2010), Differential expression analysis for sequence count data, Genome Biology 11:R106. The reference
    computed from positive counts is the option "poscounts" of DESeq2: Love, Huber and Anders (2014), Genome Biology 15:550.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> adata = anndata.AnnData(np.array([[1.0, 1], [3, 3]], "float32"))
    >>> size_factors(adata, inplace=False)
    array([0.5, 1.5])
    """
    if method not in _METHODS:
        raise unknown("method", method, _METHODS)
    x = get_rep(adata, "size_factors", layer=layer, on_disk=True)
    if inplace:
        need_key("key_added", key_added)
        need_free(adata, "obs", [key_added], "key_added")
        refuse_backed_change(adata, "size_factors", whole=False)
    need_counts(adata, x, layer)
    if method == "total":
        factors = stacked(each_block(x, lambda block, _: sums.rows(block)[:, 0]))
    else:
        log_sums = added(each_block(x, lambda block, _: sums.columns(block, sums.POSITIVE, _logs)[0]))[:, 0]
        reference = np.exp(log_sums / adata.n_obs)
        factors = stacked(each_block(x, lambda block, _: _medians(block, reference)))
    factors = factors / (factors[factors > 0].mean() if (factors > 0).any() else 1.0)
    if not inplace:
        return factors
    copy_if_view(adata)
    adata.obs[key_added] = factors
    note_written(adata, "obs", [key_added], "size_factors")
    return None
