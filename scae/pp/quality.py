"""Quality-control metrics of cells and genes."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from ..io.blocks import is_backed
from ..kernels.quality import Quality, quality
from ..kernels.rows import Rows
from ._matrix import added, each_block, get_rep, is_dask, stacked, sum_dtype


def calculate_qc_metrics(
    adata: AnnData,
    *,
    expr_type: str = "counts",
    var_type: str = "genes",
    qc_vars: Collection[str] | str = (),
    percent_top: Collection[int] | None = (50, 100, 200, 500),
    layer: str | None = None,
    use_raw: bool = False,
    inplace: bool = False,
    log1p: bool = True,
    parallel: bool | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Totals and detection rates of cells and genes, in one pass over the counts.

    Drop-in for ``scanpy.pp.calculate_qc_metrics``; explicit zeros are not counted, and the matrix is left as it is.

    Parameters
    ----------
    adata
        Cells × genes; CSR, CSC, dense, dask or backed.
    expr_type, var_type
        What values and variables are called in the column names.
    qc_vars
        Boolean columns of ``var`` that mark sets of genes, such as mitochondrial ones.
    percent_top
        Shares of a cell's counts in so many of its most abundant genes, per cent.
    layer
        Layer to use in place of ``X``.
    use_raw
        Use ``adata.raw.X``.
    inplace
        Write to ``adata.obs`` and ``adata.var``; else return both tables.
    log1p
        Add natural logarithms of one plus each count column.
    parallel
        Without effect; deprecated in scanpy.

    Returns
    -------
    None, or the tables of cells (``n_genes_by_counts``, ``total_counts``, ``pct_counts_in_top_50_genes`` …) and of genes
    (``n_cells_by_counts``, ``mean_counts``, ``pct_dropout_by_counts``, ``total_counts`` …).

    Raises
    ------
    IndexError
        If ``percent_top`` asks for less than one gene, or for more than there are.
    ValueError
        If both ``layer`` and ``use_raw`` are given.

    References
    ----------
    McCarthy et al. (2017), Bioinformatics 33:1179.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> adata = anndata.AnnData(np.array([[1.0, 0, 2], [0, 0, 4]], "float32"))
    >>> obs, var = calculate_qc_metrics(adata, percent_top=None)
    >>> obs["total_counts"].tolist(), var["n_cells_by_counts"].tolist()
    ([3.0, 4.0], [1, 0, 2])
    """
    if parallel is not None:
        warnings.warn("Argument `parallel` is deprecated, and currently has no effect.", FutureWarning, stacklevel=2)
    if use_raw and layer is not None:
        raise ValueError(f"Cannot use expression from both layer and raw. You provided: {use_raw=!r} and {layer=!r}")
    x = adata.raw.X if use_raw else get_rep(adata, layer=layer)
    names = [qc_vars] if isinstance(qc_vars, str) else list(qc_vars)
    ns = np.unique(np.array(list(percent_top or ()), np.int64))
    if ns.size and not (ns[0] > 0 and ns[-1] <= x.shape[1]):
        raise IndexError(f"Positions outside range of features: percent_top is {ns.tolist()}, allowed are 1 to {x.shape[1]}.")
    found = sums(x, gene_weights(adata, names, x.shape[1]), ns)
    words = (expr_type, var_type, log1p)
    cells = pd.DataFrame(cell_metrics(found, x, names, sorted(percent_top or ()), words), index=adata.obs_names)
    genes = pd.DataFrame(gene_metrics(found.genes, x, words), index=adata.var_names)
    if not inplace:
        return cells, genes
    adata.obs[cells.columns] = cells
    adata.var[genes.columns] = genes
    return None


def sums(x: Any, weights: NDArray[np.float64], ns: NDArray[np.int64]) -> Quality:
    """The sums behind the metrics, of any matrix."""

    def of(block: Rows, _: int) -> Quality:
        return quality(block, weights, ns)

    return joined(list(each_block(x, of)))


def joined(parts: list[Quality]) -> Quality:
    """The sums of successive blocks as those of one matrix."""
    cells, sets, top = (stacked([p[i] for p in parts]) for i in range(3))
    return Quality(cells, sets, top, added(p.genes for p in parts))


def gene_weights(adata: AnnData, names: list[str], n_genes: int) -> NDArray[np.float64]:
    """``(genes, sets)``: how often indexing by each column of ``var`` would take each gene."""
    taken = [np.arange(n_genes)[adata.var[name].to_numpy()] for name in names]
    return np.stack([np.bincount(t, minlength=n_genes) for t in taken], axis=1).astype(float) if names else np.zeros((n_genes, 0))


Words = tuple[str, str, bool]


def _count_dtype(x: Any, major: str) -> np.dtype:
    """scipy counts stored values along the compressed axis in the type of the pointers."""
    if is_backed(x) and getattr(x, "format", "") == major:
        return x.group["indptr"].dtype
    x = x._meta if is_dask(x) else x
    return x.indptr.dtype if sparse.issparse(x) and x.format == major else np.dtype(np.int64)


def cell_metrics(found: Quality, x: Any, names: list[str], percent_top: list[int], words: Words) -> dict[str, NDArray]:
    """The columns of ``obs``."""
    expr, var, log1p = words
    kind = sum_dtype(x.dtype)
    total = found.cells[:, 0].astype(kind)
    columns = _with_log({}, f"n_{var}_by_{expr}", found.cells[:, 1].astype(_count_dtype(x, "csr")), log1p)
    _with_log(columns, f"total_{expr}", total, log1p)
    with np.errstate(invalid="ignore", divide="ignore"):
        ns = sorted(set(percent_top))
        for n in percent_top:
            columns[f"pct_{expr}_in_top_{n}_{var}"] = found.top[:, ns.index(n)] / found.cells[:, 0] * 100
        for i, name in enumerate(names):
            part = found.sets[:, i].astype(kind)
            _with_log(columns, f"total_{expr}_{name}", part, log1p)
            columns[f"pct_{expr}_{name}"] = part / total * 100
    return columns


def gene_metrics(genes: NDArray[np.float64], x: Any, words: Words) -> dict[str, NDArray]:
    """The columns of ``var``."""
    expr, _, log1p = words
    n_cells, cells = x.shape[0], genes[:, 1].astype(_count_dtype(x, "csc"))
    columns: dict[str, NDArray] = {f"n_cells_by_{expr}": cells}
    with np.errstate(invalid="ignore", divide="ignore"):
        _with_log(columns, f"mean_{expr}", genes[:, 0] / n_cells, log1p)
        columns[f"pct_dropout_by_{expr}"] = (1 - cells / n_cells) * 100
    return _with_log(columns, f"total_{expr}", genes[:, 0].astype(sum_dtype(x.dtype)), log1p)


def _with_log(columns: dict[str, NDArray], name: str, values: NDArray, log1p: bool) -> dict[str, NDArray]:
    columns[name] = values
    if log1p:
        with np.errstate(invalid="ignore", divide="ignore"):
            columns[f"log1p_{name}"] = np.log1p(values)
    return columns
