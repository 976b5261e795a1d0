"""Counts brought to one total for every cell."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from ..errors import unknown
from ..kernels.reshape import divide_rows
from ..kernels.rows import Rows
from ._calls import log, old_positionals, own
from ._matrix import get_rep, is_csr, is_dask, set_rep, sum_dtype
from .filters import totals


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
    """Divide each cell by its total, so that all cells have the same total.

    Drop-in for ``scanpy.pp.normalize_total``. Integers become float32; CSC becomes CSR.

    Parameters
    ----------
    adata
        Cells × genes.
    target_sum
        The total of each cell afterwards; by default the median total (sparse in memory: over all cells; dense and
        dask: over cells that are not empty, as in scanpy).
    exclude_highly_expressed
        Leave out of the totals every gene that exceeds ``max_fraction`` of some cell's total.
    max_fraction
        That share, 0 to 1.
    key_added
        Column of ``obs`` for the divisors.
    layer
        Layer to normalise in place of ``X``.
    inplace
        Change ``adata``; else return ``{"X": …, "norm_factor": …}``.
    copy
        Change and return a copy.

    Returns
    -------
    None, the copy, or the dictionary.

    Raises
    ------
    ValueError
        If ``max_fraction`` is no share, or ``copy`` and ``inplace=False`` are combined.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> adata = anndata.AnnData(np.array([[1.0, 3], [2, 2]], "float32"))
    >>> normalize_total(adata, target_sum=8)
    >>> adata.X.tolist()
    [[2.0, 6.0], [4.0, 4.0]]
    """
    if copy and not inplace:
        raise ValueError("`copy=True` cannot be used with `inplace=False`.")
    if not 0 <= max_fraction <= 1:
        raise ValueError(f"Choose max_fraction between 0 and 1. You provided {max_fraction}.")
    if layer is not None and layer not in adata.layers:
        raise unknown("layer", layer, adata.layers.keys())
    adata = adata.copy() if copy else adata
    own(adata)
    x = _floats(get_rep(adata, layer=layer), private=not inplace)
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
    """CSR or dense floats that may be written to; a copy where the caller's matrix must stay as it is."""
    changed = x
    if sparse.issparse(x) and x.format != "csr":
        changed = x.tocsr()
    if not np.issubdtype(changed.dtype, np.floating):
        changed = changed.astype(np.float32)
    return changed.copy() if private and changed is x and not is_dask(x) else changed


def _median(totals_of_cells: NDArray, *, all_cells: bool) -> Any:
    return np.median(totals_of_cells if all_cells else totals_of_cells[totals_of_cells > 0])


def normalized(x: Any, target_sum: float | None, max_fraction: float | None) -> tuple[Any, Any]:
    """Divide the rows of a float matrix, in place where it lies in memory; the matrix and its divisors."""
    dtype = x.dtype if is_csr(x) else sum_dtype(x.dtype)
    total = totals(x, 0, True, dtype)
    if max_fraction is not None:
        total = _without_dominant(x, np.asarray(total), max_fraction, dtype)
    if target_sum is None:
        target_sum = _median(np.asarray(total), all_cells=is_csr(x))
    factors = total / target_sum
    return divided(x, factors), factors


def _without_dominant(x: Any, total: NDArray, max_fraction: float, dtype: np.dtype) -> NDArray:
    """Totals over the genes that exceed a share of no cell's total."""
    if is_dask(x):
        from dask import compute

        rows = np.cumsum((0, *x.chunks[0]))
        blocks = compute(*x.rechunk({1: -1}).to_delayed().ravel())
        parts = [_dominant(b, total[a:z], max_fraction) for b, a, z in zip(blocks, rows[:-1], rows[1:], strict=True)]
        dominant = np.any(parts, axis=0)
    else:
        dominant = _dominant(x, total, max_fraction)
    log.info("%d genes exceed %g of a cell's total and are left out of the totals", dominant.sum(), max_fraction)
    return np.asarray(totals(x[:, np.flatnonzero(~dominant)], 0, True, dtype))


def _dominant(x: Any, total: NDArray, max_fraction: float) -> NDArray[np.bool_]:
    """Genes above a share of some cell's total."""
    if not sparse.issparse(x):
        return np.any(np.asarray(x) > (total * max_fraction)[:, None], axis=0)
    over = x.data > np.repeat(total * max_fraction, np.diff(x.indptr))
    return np.bincount(x.indices[over], minlength=x.shape[1]) > 0


def divided(x: Any, factors: Any) -> Any:
    """Rows divided by their factors; rows with factor 0 stay as they are."""
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
