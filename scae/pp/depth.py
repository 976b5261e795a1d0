"""Size factors: how deeply each cell was sequenced, relative to the others."""

from __future__ import annotations

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from ..errors import unknown
from ..kernels import ratios, sums
from ..kernels.rows import Rows
from ._calls import own
from ._matrix import added, each_block, get_rep, stacked

_METHODS = ("total", "median_of_ratios")


def _logs(values: NDArray) -> NDArray:
    return np.log(np.where(values > 0, values, 1))


def _medians(block: Rows, reference: NDArray[np.float64]) -> NDArray[np.float64]:
    sums.rows(block)  # looks at the columns
    return ratios.median_ratios(block, reference)


def size_factors(
    adata: AnnData,
    method: str = "total",
    *,
    layer: str | None = None,
    key_added: str = "size_factors",
    inplace: bool = True,
) -> NDArray[np.float64] | None:
    """How many times the mean cell's depth each cell has.

    Parameters
    ----------
    adata
        Cells × genes, counts; any kind of matrix.
    method
        ``"total"``: the cell's total count. ``"median_of_ratios"``: the median, over the genes that the cell expresses,
        of count / reference, the reference of a gene being exp(Σ log count / cells) over the cells that express it.
    layer
        Layer to use in place of ``X``.
    key_added
        Column of ``obs`` that is written.
    inplace
        Write to ``obs``; else return the factors.

    Returns
    -------
    None, or ``(cells,)`` float64 with mean 1 over cells that are not empty; 0 for empty cells.

    Raises
    ------
    MissingKeyError
        If there is no such method or layer.

    References
    ----------
    Anders and Huber (2010), Genome Biol 11:R106; the reference over positive counts is DESeq2's "poscounts".

    Examples
    --------
    >>> import anndata, numpy as np
    >>> adata = anndata.AnnData(np.array([[1.0, 1], [3, 3]], "float32"))
    >>> size_factors(adata, inplace=False)
    array([0.5, 1.5])
    """
    if method not in _METHODS:
        raise unknown("method", method, _METHODS)
    x = get_rep(adata, layer=layer)
    if method == "total":
        factors = stacked(each_block(x, lambda block, _: sums.rows(block)[:, 0]))
    else:
        logs = added(each_block(x, lambda block, _: sums.columns(block, sums.POSITIVE, _logs)[0]))[:, 0]
        reference = np.exp(logs / adata.n_obs)
        factors = stacked(each_block(x, lambda block, _: _medians(block, reference)))
    factors = factors / (factors[factors > 0].mean() if (factors > 0).any() else 1.0)
    if not inplace:
        return factors
    own(adata)
    adata.obs[key_added] = factors
    return None
