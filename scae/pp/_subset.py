"""Subset AnnData in place: CSR matrices with our own fast kernels, everything else with anndata."""

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from ..kernels import reshape
from ..kernels.rows import Rows, Uncanonical
from ._matrix import is_csr

Mask = NDArray[np.bool_] | None


def as_scipy(m: Rows, like: Any) -> Any:
    """Return the rows as a SciPy CSR matrix or CSR array, whichever kind ``like`` is."""
    kind = sparse.csr_array if isinstance(like, sparse.sparray) else sparse.csr_matrix
    return kind((m.data, m.indices, m.indptr), shape=(m.n_rows, m.n_columns))


def _has_fast_kernel(x: Any) -> bool:
    """Tell whether :func:`keep` can subset the matrix."""
    return is_csr(x) and x.data.itemsize <= 8


def keep(x: Any, cells: Mask, genes: Mask) -> Any:
    """Return ``x[cells][:, genes]`` of a CSR matrix; None keeps all cells or genes."""
    m = Rows.of(x)
    try:
        return as_scipy(reshape.keep(m, cells, genes), x)
    except Uncanonical:
        return as_scipy(reshape.keep(m.canonical(), cells, genes), x)


def subset(adata: AnnData, cells: Mask = None, genes: Mask = None) -> None:
    """Keep the cells and genes where the masks are true, in place; if all are kept, nothing is copied."""
    cells, genes = (None if mask is None or np.all(mask) else np.asarray(mask, bool) for mask in (cells, genes))
    if cells is None and genes is None and not adata.is_view:
        return
    where = (slice(None) if cells is None else cells, slice(None) if genes is None else genes)
    if adata.is_view or adata.isbacked:
        adata._init_as_actual(adata[where].copy())
        return
    order = list(adata.layers)
    kept = {name: keep(value, cells, genes) for name, value in adata.layers.items() if _has_fast_kernel(value)}
    x = keep(adata.X, cells, genes) if _has_fast_kernel(adata.X) else None
    for name in kept:  # take them out, so that anndata does not subset them again
        del adata.layers[name]
    if x is not None:
        adata.X = None
    adata._init_as_actual(adata[where].copy())
    if x is not None:
        adata.X = x
    for name in order:  # in the original order
        adata.layers[name] = kept[name] if name in kept else adata.layers.pop(name)
