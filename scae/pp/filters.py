"""Cells and genes that are left out by their totals or by how often they are detected."""

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from ..io.blocks import is_backed
from ..kernels import sums
from ._calls import log, old_positionals
from ._matrix import added, each_block, get_rep, is_dask, stacked, sum_dtype
from ._subset import subset

Limits = tuple[float | None, float | None, float | None, float | None]  # least and most counts, least and most detected


@old_positionals("min_counts", "min_genes", "max_counts", "max_genes", "inplace", "copy")
def filter_cells(
    data: AnnData | Any,
    *,
    min_counts: int | None = None,
    min_genes: int | None = None,
    max_counts: int | None = None,
    max_genes: int | None = None,
    inplace: bool = True,
    copy: bool = False,
    layer: str | None = None,
) -> AnnData | tuple[NDArray, NDArray] | None:
    """Keep cells by their total count or by their number of expressed genes.

    Drop-in for ``scanpy.pp.filter_cells``. Where every cell passes, nothing is copied.

    Parameters
    ----------
    data
        Cells × genes: AnnData, or a sparse, dense or dask matrix.
    min_counts, max_counts
        Least and most total counts of a cell that is kept.
    min_genes, max_genes
        Least and most genes with a positive value. Give exactly one of the four limits a call.
    inplace
        Subset ``data`` and write ``obs["n_counts"]`` or ``obs["n_genes"]``; else return mask and numbers.
    copy
        Work on a copy of the AnnData and return it.
    layer
        Layer to count in place of ``X``.

    Returns
    -------
    None, the filtered copy, or ``(mask, number)``: ``(cells,)`` bool and the number that the limit was held against.

    Raises
    ------
    ValueError
        If not exactly one limit is given.
    NotImplementedError
        If ``X`` is backed: a file is filtered into another file by ``scae preprocess``.

    Examples
    --------
    >>> import numpy as np
    >>> filter_cells(np.array([[1.0, 0], [3, 4]]), min_genes=2)
    (array([False,  True]), array([1, 2]))
    """
    limits = (min_counts, max_counts, min_genes, max_genes)
    _check(limits, ("min_counts", "min_genes", "max_counts", "max_genes"))
    return _filter(data, limits, 0, inplace=inplace, copy=copy, layer=layer)


@old_positionals("min_counts", "min_cells", "max_counts", "max_cells", "inplace", "copy")
def filter_genes(
    data: AnnData | Any,
    *,
    min_counts: int | None = None,
    min_cells: int | None = None,
    max_counts: int | None = None,
    max_cells: int | None = None,
    inplace: bool = True,
    copy: bool = False,
    layer: str | None = None,
) -> AnnData | tuple[NDArray, NDArray] | None:
    """Keep genes by their total count or by the number of cells that express them.

    Drop-in for ``scanpy.pp.filter_genes``. Where every gene passes, nothing is copied.

    Parameters
    ----------
    data
        Cells × genes: AnnData, or a sparse, dense or dask matrix.
    min_counts, max_counts
        Least and most total counts of a gene that is kept.
    min_cells, max_cells
        Least and most cells with a positive value. Give exactly one of the four limits a call.
    inplace
        Subset ``data`` and write ``var["n_counts"]`` or ``var["n_cells"]``; else return mask and numbers.
    copy
        Work on a copy of the AnnData and return it.
    layer
        Layer to count in place of ``X``.

    Returns
    -------
    None, the filtered copy, or ``(mask, number)``: ``(genes,)`` bool and the number that the limit was held against.

    Raises
    ------
    ValueError
        If not exactly one limit is given.
    NotImplementedError
        If ``X`` is backed: a file is filtered into another file by ``scae preprocess``.

    Examples
    --------
    >>> import numpy as np
    >>> filter_genes(np.array([[1.0, 0], [3, 4]]), min_counts=4)
    (array([ True,  True]), array([4., 4.]))
    """
    limits = (min_counts, max_counts, min_cells, max_cells)
    _check(limits, ("min_counts", "min_cells", "max_counts", "max_cells"))
    return _filter(data, limits, 1, inplace=inplace, copy=copy, layer=layer)


def _check(limits: Limits, names: tuple[str, ...]) -> None:
    if sum(limit is not None for limit in limits) != 1:
        listed = ", ".join(f"`{name}`" for name in names)
        raise ValueError(f"Only provide one of the optional parameters {listed} per call.")


def _filter(data: Any, limits: Limits, axis: int, *, inplace: bool, copy: bool, layer: str | None) -> Any:
    if not isinstance(data, AnnData):
        return _select(data, limits, axis)
    x = get_rep(data, layer=layer)
    if is_backed(x):
        verb = ("filter_cells", "filter_genes")[axis]
        raise NotImplementedError(f"{verb} is not implemented for matrices of type {type(x)}")
    adata = data.copy() if copy else data
    mask, number = (np.asarray(part) for part in _select(x, limits, axis))  # computes what is lazy
    if not inplace:
        return mask, number
    name = "n_counts" if limits[2:] == (None, None) else ("n_genes", "n_cells")[axis]
    (adata.var if axis else adata.obs)[name] = number
    subset(adata, **{("cells", "genes")[axis]: mask})
    return adata if copy else None


def _select(x: Any, limits: Limits, axis: int) -> tuple[Any, Any]:
    by_counts = limits[2:] == (None, None)
    dtype = sum_dtype(x.dtype if by_counts else bool)
    number = totals(x, axis, by_counts, dtype)
    least, most = (limits[0], limits[1]) if by_counts else (limits[2], limits[3])
    mask = number <= most if least is None else number >= least
    if not is_dask(x) and not mask.all():
        what = ("cells", "genes")[axis]
        bound = f"less than {least}" if least is not None else f"more than {most}"
        log.info("filtered out %d %s with %s %s", (~mask).sum(), what, bound, "counts" if by_counts else "detections")
    return mask, number


def totals(x: Any, axis: int, by_counts: bool, dtype: np.dtype) -> Any:
    """Sums, or numbers of positive values, of each row (axis 0) or column (axis 1); lazy for dask."""
    if is_dask(x):
        import dask
        import dask.array as da

        lazy = dask.delayed(totals)
        blocks = x.rechunk({1: -1})
        parts = [lazy(block, axis, by_counts, dtype) for block in blocks.to_delayed().ravel()]
        lengths = blocks.chunks[0] if axis == 0 else (x.shape[1],) * len(parts)
        arrays = [da.from_delayed(p, (n,), dtype=dtype) for p, n in zip(parts, lengths, strict=True)]
        return da.concatenate(arrays) if axis == 0 else da.stack(arrays).sum(axis=0)
    if axis == 0:
        return stacked(each_block(x, lambda block, _: sums.rows(block)[:, 0 if by_counts else 1])).astype(dtype)
    if by_counts:
        return added(each_block(x, lambda block, _: sums.columns(block, sums.POSITIVE)[0][:, 0])).astype(dtype)
    return added(each_block(x, lambda block, _: sums.detected(block))).astype(dtype)
