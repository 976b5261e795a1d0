"""Compute quality-control metrics of cells and genes."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from ..errors import ConfigError, unknown
from ..io.blocks import is_backed
from ..kernels.quality import Quality, quality
from ..kernels.rows import Rows
from ._arguments import TopGenesError, is_whole, need_anndata, refuse_backed_change, truth
from ._matrix import added, checked, each_block, get_rep, is_dask, stacked, sum_dtype


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
    """Compute totals, detection rates and other quality metrics of cells and genes, in one pass over the counts.

    Drop-in replacement for ``scanpy.pp.calculate_qc_metrics``. Explicit zeros do not count as expressed, and the matrix is not
    changed.

    Parameters
    ----------
    adata : AnnData
        Cells × genes, counts; sparse, dense, dask or backed.
    expr_type, var_type : str
        Names of the values and of the variables in the column names.
    qc_vars : sequence of str, or str
        Boolean columns of ``var`` that mark sets of genes, e.g. mitochondrial genes. For each set, its total count per cell and
        its percentage of the cell's counts are computed. Columns of 0 and 1 or of ``'True'`` and ``'False'`` are read as
        booleans; scanpy 1.11 takes 0 and 1 for the positions of genes.
    percent_top : sequence of int, optional
        For each number n in it, the percentage of a cell's counts in its n most abundant genes is computed. None for none.
    layer : str, optional
        Layer to use; ``X`` by default.
    use_raw : bool
        Use ``adata.raw.X``.
    inplace : bool
        If true, write to ``adata.obs`` and ``adata.var``. If false, return both tables.
    log1p : bool
        Also write log(1 + x) of each column of counts, as ``log1p_<column>``.
    parallel : bool, optional
        Has no effect; deprecated as in scanpy.

    Returns
    -------
    None, or (DataFrame, DataFrame)
        With ``inplace=False``, a table with one row per cell and a table with one row per gene. For each cell:
        ``n_genes_by_counts``, the number of expressed genes; ``total_counts``; ``pct_counts_in_top_<n>_genes``, in per cent;
        ``total_counts_<set>`` and ``pct_counts_<set>``, in per cent. For each gene: ``n_cells_by_counts``, the number of cells
        that express it; ``mean_counts``; ``pct_dropout_by_counts``, the percentage of cells that do not express it;
        ``total_counts``.

    Raises
    ------
    ConfigError
        If a column of ``qc_vars`` is not boolean, if both ``layer`` and ``use_raw`` are given, or ``raw`` has other genes. Also,
        as an ``IndexError``, if a number in ``percent_top`` is below 1 or larger than the number of genes.
    MissingKeyError
        If there is no such layer, or ``var`` lacks a column of ``qc_vars``.
    MatrixError
        If the arrays of a sparse matrix contradict each other.

    References
    ----------
    McCarthy, Campbell, Lun and Wills (2017), Scater: pre-processing, quality control, normalization and visualization of
    single-cell RNA-seq data in R, Bioinformatics 33:1179.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> adata = anndata.AnnData(np.array([[1.0, 0, 2], [0, 0, 4]], "float32"))
    >>> obs, var = calculate_qc_metrics(adata, percent_top=None)
    >>> obs["total_counts"].tolist(), var["n_cells_by_counts"].tolist()
    ([3.0, 4.0], [1, 0, 2])
    """
    if parallel is not None:
        warnings.warn("The argument `parallel` is deprecated and has no effect. Leave it out.", FutureWarning, stacklevel=2)
    if use_raw and layer is not None:
        raise ConfigError(f"{use_raw=!r} and {layer=!r} were given, but only one matrix can be used. Give one of them.")
    x = _raw(adata) if use_raw else get_rep(adata, "calculate_qc_metrics", layer=layer, on_disk=True)
    if inplace:
        refuse_backed_change(adata, "calculate_qc_metrics", whole=False)
    names = [qc_vars] if isinstance(qc_vars, str) else list(qc_vars)
    ns = np.unique(top_numbers(percent_top or (), x.shape[1]))
    metrics = quality_sums(x, gene_weights(adata.var, names), ns)
    naming = Naming(expr_type, var_type, log1p)
    cells = pd.DataFrame(cell_metrics(metrics, x, names, sorted(percent_top or ()), naming), index=adata.obs_names)
    genes = pd.DataFrame(gene_metrics(metrics.genes, x, naming), index=adata.var_names)
    if not inplace:
        return cells, genes
    adata.obs[cells.columns] = cells
    adata.var[genes.columns] = genes
    return None


def _raw(adata: AnnData) -> Any:
    """Return the matrix of ``raw``, which must have the genes of the object."""
    need_anndata(adata, "calculate_qc_metrics")
    if adata.raw is None:
        raise ConfigError("use_raw=True was given, but adata.raw is None. Leave it out, or name a layer.")
    if adata.raw.n_vars != adata.n_vars:
        raise ConfigError(
            f"adata.raw has {adata.raw.n_vars} genes and adata has {adata.n_vars}, so the results do not fit its var. "
            "Pass adata.raw.to_adata()."
        )
    return checked(adata.raw.X, "calculate_qc_metrics", on_disk=True)


def top_numbers(percent_top: Collection[int], n_genes: int | None = None) -> NDArray[np.int64]:
    """Return the numbers of top genes, in the given order.

    Raises
    ------
    ConfigError
        If one is not a whole number.
    TopGenesError
        If one is below 1 or above ``n_genes``.
    """
    numbers = list(percent_top) if isinstance(percent_top, Iterable) and not isinstance(percent_top, str) else [percent_top]
    for n in numbers:
        if not is_whole(n):
            raise ConfigError(f"percent_top has the entry {n!r}. Give whole numbers of genes.")
        if n < 1 or (n_genes is not None and n > n_genes):
            most = "" if n_genes is None else f" to {n_genes}"
            raise TopGenesError(f"percent_top is {numbers}. Give numbers of genes from 1{most}.")
    return np.array(numbers, np.int64)


def quality_sums(x: Any, weights: NDArray[np.float64], ns: NDArray[np.int64]) -> Quality:
    """Compute the sums from which the metrics are derived, for any matrix; see :func:`scae.kernels.quality.quality`."""

    def block_sums(block: Rows, _: int) -> Quality:
        return quality(block, weights, ns)

    return joined(list(each_block(x, block_sums)))


def joined(parts: list[Quality]) -> Quality:
    """Combine the sums of successive blocks of rows into those of the whole matrix."""
    cells, sets, top = (stacked([p[i] for p in parts]) for i in range(3))
    return Quality(cells, sets, top, added(p.genes for p in parts))


def gene_weights(var: pd.DataFrame, names: list[str]) -> NDArray[np.float64]:
    """Return which gene is in which set as 0 and 1, ``(genes, sets)``.

    Raises
    ------
    MissingKeyError
        If there is no such column.
    ConfigError
        If a column is not boolean.
    """
    for name in names:
        if name not in var:
            raise unknown("var column", name, var.columns, hint="qc_vars names boolean columns of var.")
    masks = [truth(var[name], f"var[{name!r}]") for name in names]
    return np.stack(masks, axis=1).astype(float) if names else np.zeros((len(var), 0))


class Naming(NamedTuple):
    """Names in the columns of the tables."""

    expr_type: str
    var_type: str
    log1p: bool  # whether to add columns of log(1 + x)


def _count_dtype(x: Any, major: str) -> np.dtype:
    """Return the dtype of counts of stored values, that of the pointers along the compressed axis, as in SciPy.

    ``major`` is the format compressed along this axis: ``"csr"`` for rows, ``"csc"`` for columns.
    """
    if is_backed(x) and getattr(x, "format", "") == major:
        return x.group["indptr"].dtype
    x = x._meta if is_dask(x) else x
    return x.indptr.dtype if sparse.issparse(x) and x.format == major else np.dtype(np.int64)


def cell_metrics(metrics: Quality, x: Any, names: list[str], percent_top: list[int], naming: Naming) -> dict[str, NDArray]:
    """Return the columns of ``obs``, ``(cells,)`` each."""
    expr, var, log1p = naming
    dtype = sum_dtype(x.dtype)
    total = metrics.cells[:, 0].astype(dtype)
    columns = _with_log({}, f"n_{var}_by_{expr}", metrics.cells[:, 1].astype(_count_dtype(x, "csr")), log1p)
    _with_log(columns, f"total_{expr}", total, log1p)
    with np.errstate(invalid="ignore", divide="ignore"):
        ns = sorted(set(percent_top))
        for n in percent_top:
            columns[f"pct_{expr}_in_top_{n}_{var}"] = metrics.top[:, ns.index(n)] / metrics.cells[:, 0] * 100
        for i, name in enumerate(names):
            part = metrics.sets[:, i].astype(dtype)
            _with_log(columns, f"total_{expr}_{name}", part, log1p)
            columns[f"pct_{expr}_{name}"] = part / total * 100
    return columns


def gene_metrics(genes: NDArray[np.float64], x: Any, naming: Naming) -> dict[str, NDArray]:
    """Return the columns of ``var``, ``(genes,)`` each, from total counts and numbers of cells, ``(genes, 2)``."""
    expr, _, log1p = naming
    n_cells, cells = x.shape[0], genes[:, 1].astype(_count_dtype(x, "csc"))
    columns: dict[str, NDArray] = {f"n_cells_by_{expr}": cells}
    with np.errstate(invalid="ignore", divide="ignore"):
        _with_log(columns, f"mean_{expr}", genes[:, 0] / n_cells, log1p)
        columns[f"pct_dropout_by_{expr}"] = (1 - cells / n_cells) * 100
    return _with_log(columns, f"total_{expr}", genes[:, 0].astype(sum_dtype(x.dtype)), log1p)


def _with_log(columns: dict[str, NDArray], name: str, values: NDArray, log1p: bool) -> dict[str, NDArray]:
    """Add a column and, if ``log1p`` is true, its log(1 + x)."""
    columns[name] = values
    if log1p:
        with np.errstate(invalid="ignore", divide="ignore"):
            columns[f"log1p_{name}"] = np.log1p(values)
    return columns
