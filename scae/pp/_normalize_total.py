"""Normalise each cell to the same total count."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from ..errors import ConfigError
from ..kernels.reshape import divide_rows
from ..kernels.rows import Rows
from ._arguments import need_key, need_number, need_total, refuse_backed_change
from ._calls import copy_if_view, log, old_positionals
from ._matrix import get_rep, is_csr, is_dask, set_rep, sum_dtype, summed
from ._slots import unshared
from ._totals import totals


@old_positionals("target_sum", "exclude_highly_expressed", "max_fraction", "key_added", "layer", "inplace", "copy")
def normalize_total(
    adata: AnnData,
    *,
    target_sum: float | None = None,
    exclude_highly_expressed: bool = False,
    max_fraction: float = 0.05,
    key_added: str | None = None,
    layer: str | None = None,
    inplace: bool = True,
    copy: bool = False,
) -> AnnData | dict[str, Any] | None:
    """Scale each cell so that all cells have the same total count.

    Drop-in replacement for ``scanpy.pp.normalize_total``. Integers and half precision become float32, and CSC matrices become
    CSR. Unlike in scanpy 1.11, the median leaves out empty cells for all types of matrices, and a matrix that shares its memory
    with another slot of the same AnnData is copied, so that the other slot does not change.

    Parameters
    ----------
    adata : AnnData
        Cells × genes, counts.
    target_sum : float, optional
        Total count of each cell afterwards, above 0. By default this is the median total of the cells with at least one count.
    exclude_highly_expressed : bool
        Compute the totals without the genes that make up more than ``max_fraction`` of the counts of at least one cell.
    max_fraction : float
        Share of a cell's counts, from 0 to 1, above which a gene is highly expressed.
    key_added : str, optional
        Column of ``obs`` in which to store the divisor of each cell.
    layer : str, optional
        Layer to normalise; ``X`` by default.
    inplace : bool
        If true, change ``adata``. If false, return the result.
    copy : bool
        Work on a copy of ``adata`` and return it.

    Returns
    -------
    None, AnnData or dict
        None by default; the normalised copy with ``copy=True``. With ``inplace=False``, a dictionary with the normalised matrix,
        ``"X"``, and the divisors of the cells, ``"norm_factor"``, shape ``(cells,)``.

    Raises
    ------
    ConfigError
        If ``target_sum`` is not a finite number above 0, ``max_fraction`` is not between 0 and 1, ``key_added`` contains a slash,
        or ``copy=True`` is combined with ``inplace=False``.
    MissingKeyError
        If there is no such layer.
    MatrixError
        If the arrays of a sparse matrix contradict each other, or the matrix is backed (then also a ``NotImplementedError``).

    Examples
    --------
    >>> import anndata, numpy as np
    >>> adata = anndata.AnnData(np.array([[1.0, 3], [2, 2]], "float32"))
    >>> normalize_total(adata, target_sum=8)
    >>> adata.X.tolist()
    [[2.0, 6.0], [4.0, 4.0]]
    """
    if copy and not inplace:
        raise ConfigError("`copy=True` cannot be combined with `inplace=False`. Use one of them.")
    need_number("max_fraction", max_fraction, least=0, most=1)
    need_total(target_sum)
    if key_added is not None:
        need_key("key_added", key_added)
    get_rep(adata, "normalize_total", layer=layer)
    refuse_backed_change(adata, "normalize_total", whole=copy)
    adata = adata.copy() if copy else adata
    copy_if_view(adata)
    x = get_rep(adata, "normalize_total", layer=layer)
    x = _floats(unshared(adata, x, layer=layer) if inplace else x, private=not inplace)
    x, factors = normalized(x, target_sum, max_fraction if exclude_highly_expressed else None)
    if not is_dask(factors) and not (factors > 0).all():
        warnings.warn("Some cells have zero counts", UserWarning, stacklevel=2)
    if not inplace:
        return {"X": x, "norm_factor": factors}
    if key_added is not None:
        adata.obs[key_added] = np.asarray(factors)
    set_rep(adata, x, layer=layer)
    return adata if copy else None


def _floats(x: Any, *, private: bool) -> Any:
    """Return the matrix as CSR or dense floats; with ``private``, never the caller's own matrix, so that it can be changed."""
    changed = x
    if sparse.issparse(x) and x.format != "csr":
        changed = x.tocsr()
    if changed.dtype == np.float16 or not np.issubdtype(changed.dtype, np.floating):
        changed = changed.astype(np.float32)
    return changed.copy() if private and changed is x and not is_dask(x) else changed


def median_total(totals_of_cells: NDArray) -> Any:
    """Return the median total of the cells with at least one count; 1 if there is no such cell."""
    filled = totals_of_cells[totals_of_cells > 0]
    return np.median(filled) if filled.size else 1.0


def normalized(x: Any, target_sum: float | None, max_fraction: float | None) -> tuple[Any, Any]:
    """Normalise the rows of a float matrix, in place if it is in memory; return the matrix and the divisors ``(rows,)``."""
    dtype = x.dtype if is_csr(x) else sum_dtype(x.dtype)
    total = totals(x, 0, True, dtype)
    if max_fraction is not None:
        total = _totals_without_highly_expressed(x, np.asarray(total), max_fraction, dtype)
    if target_sum is None:
        target_sum = median_total(np.asarray(total))
    factors = total / target_sum
    return divided(x, factors), factors


def _totals_without_highly_expressed(x: Any, total: NDArray, max_fraction: float, dtype: np.dtype) -> NDArray:
    """Return the totals of the cells without the highly expressed genes."""
    if is_dask(x):
        from dask import compute

        rows = np.cumsum((0, *x.chunks[0]))
        blocks = compute(*x.rechunk({1: -1}).to_delayed().ravel())
        parts = [_highly_expressed(b, total[a:z], max_fraction) for b, a, z in zip(blocks, rows[:-1], rows[1:], strict=True)]
        highly_expressed = np.any(parts, axis=0)
    else:
        highly_expressed = _highly_expressed(x, total, max_fraction)
    log.info(
        "%d genes exceed the share %g of a cell's counts and are excluded from the totals", highly_expressed.sum(), max_fraction
    )
    return np.asarray(totals(x[:, np.flatnonzero(~highly_expressed)], 0, True, dtype))


def _highly_expressed(x: Any, total: NDArray, max_fraction: float) -> NDArray[np.bool_]:
    """Return which genes exceed ``max_fraction`` of the total of at least one cell, ``(genes,)``."""
    if not sparse.issparse(x):
        return np.any(np.asarray(x) > (total * max_fraction)[:, None], axis=0)
    x = summed(x if x.format == "csr" else x.tocsr())
    over = x.data > np.repeat(total * max_fraction, np.diff(x.indptr))
    return np.bincount(x.indices[over], minlength=x.shape[1]) > 0


def divided(x: Any, factors: Any) -> Any:
    """Divide each row by its factor, in place if the matrix is in memory; rows with factor 0 are not changed."""
    if is_dask(x):
        return _divided_dask(x, factors)
    safe = np.where(factors == 0, 1, factors).astype(x.dtype, copy=False)
    if is_csr(x) and x.data.dtype in (np.float32, np.float64) and x.data.flags.writeable and x.data.flags.c_contiguous:
        divide_rows(Rows.of(x), safe)
    elif sparse.issparse(x):
        x.data = x.data / np.repeat(safe, np.diff(x.indptr))
    else:
        np.true_divide(x, safe[:, None], out=x)
    return x


def _divided_dask(x: Any, factors: Any) -> Any:
    import dask.array as da

    rows = x.rechunk({1: -1})
    column = da.asarray(factors).rechunk((rows.chunks[0],))[:, None]
    return da.map_blocks(_divided_copy, rows, column, dtype=x.dtype, meta=x._meta)


def _divided_copy(block: Any, factors: NDArray) -> Any:
    return divided(_floats(block, private=True), factors.reshape(-1))
