"""Cells and genes left out in place, the large matrices by fast kernels and all the rest by anndata."""

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from ..kernels.reshape import keep_columns
from ..kernels.rows import Rows, Uncanonical
from ._matrix import is_csr


def _as_scipy(m: Rows, like: Any) -> Any:
    kind = sparse.csr_array if isinstance(like, sparse.sparray) else sparse.csr_matrix
    return kind((m.data, m.indices, m.indptr), shape=(m.n_rows, m.n_columns))


def _fast(x: Any) -> bool:
    return is_csr(x) and x.data.itemsize <= 8


def keep(x: Any, mask: NDArray[np.bool_], axis: int) -> Any:
    """``x[mask]`` (axis 0) or ``x[:, mask]`` (axis 1) of a CSR matrix."""
    m = Rows.of(x)
    if axis == 0:
        return _as_scipy(m.take(np.flatnonzero(mask)), x)
    try:
        return _as_scipy(keep_columns(m, mask), x)
    except Uncanonical:
        return _as_scipy(keep_columns(m.canonical(), mask), x)


def subset(adata: AnnData, mask: NDArray[np.bool_], axis: int) -> None:
    """Keep the cells (axis 0) or genes (axis 1) where ``mask`` is true; where all are kept, nothing is copied."""
    mask = np.asarray(mask, bool)
    by_anndata = adata._inplace_subset_var if axis else adata._inplace_subset_obs
    if adata.is_view or adata.isbacked:
        by_anndata(mask)
        return
    if mask.all():
        return
    order = list(adata.layers)
    kept = {name: keep(value, mask, axis) for name, value in adata.layers.items() if _fast(value)}
    x = keep(adata.X, mask, axis) if _fast(adata.X) else None
    for name in kept:  # from here on nothing can fail: the mask fits, and anndata only indexes
        del adata.layers[name]
    if x is not None:
        adata.X = None
    by_anndata(mask)
    if x is not None:
        adata.X = x
    for name in order:  # in their old order
        adata.layers[name] = kept[name] if name in kept else adata.layers.pop(name)
