"""Read any matrix (sparse, dense, dask or backed) as blocks of CSR rows, and combine the results of the blocks."""

from __future__ import annotations

import functools
import operator
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from ..errors import MatrixError, unknown
from ..io.blocks import is_backed, row_blocks
from ..kernels.rows import Rows, Uncanonical

R = TypeVar("R")
_DENSE_BLOCK = 1 << 21  # entries per block of a dense matrix


def is_dask(x: object) -> bool:
    """Tell whether ``x`` is a dask array, without importing dask."""
    return "dask.array" in sys.modules and isinstance(x, sys.modules["dask.array"].Array)


def is_csr(x: Any) -> bool:
    """Tell whether ``x`` is a SciPy CSR matrix or array."""
    return sparse.issparse(x) and x.format == "csr"


def sum_dtype(dtype: Any) -> np.dtype:
    """Return the dtype in which NumPy and SciPy return sums of values of this dtype."""
    return np.zeros(1, dtype).sum().dtype


def get_rep(adata: AnnData, *, layer: str | None = None, obsm: str | None = None) -> Any:
    """Return ``X``, a layer, or an entry of ``obsm``.

    Raises
    ------
    MissingKeyError
        If there is no layer or entry of that name (a ``KeyError``).
    MatrixError
        If ``X`` is None.
    """
    for name, key, mapping in (("layer", layer, adata.layers), ("obsm entry", obsm, adata.obsm)):
        if key is not None:
            if key not in mapping:
                raise unknown(name, key, mapping.keys())
            return mapping[key]
    if adata.X is None:
        raise MatrixError("adata.X is None. Set it, or name a layer.")
    return adata.X


def set_rep(adata: AnnData, value: Any, *, layer: str | None = None, obsm: str | None = None) -> None:
    """Replace ``X``, a layer, or an entry of ``obsm``."""
    if layer is not None:
        adata.layers[layer] = value
    elif obsm is not None:
        adata.obsm[obsm] = value
    else:
        adata.X = value


def memory_blocks(x: Any) -> Iterator[Rows]:
    """Yield a matrix in memory as CSR rows: a sparse matrix in one block, a dense one in blocks of bounded size."""
    if sparse.issparse(x):
        yield Rows.of(x if x.format == "csr" else x.tocsr())
        return
    x = np.asarray(x)
    step = max(1, _DENSE_BLOCK // max(1, x.shape[1]))
    for start in range(0, max(1, x.shape[0]), step):
        yield Rows.full(x[start : start + step])


def _apply(x: Any, function: Callable[[Rows, int], R], start: int = 0) -> Iterator[R]:
    """Call the function on the blocks of a matrix in memory whose first row has number ``start``."""
    for block in memory_blocks(x):
        try:
            yield function(block, start)
        except Uncanonical:
            yield function(block.canonical(), start)
        start += block.n_rows


def _listed(x: Any, function: Callable[[Rows, int], R], start: int) -> list[R]:
    return list(_apply(x, function, start))


def each_block(x: Any, function: Callable[[Rows, int], R]) -> Iterator[R]:
    """Yield ``function(block, start)`` for each block of rows, in order; ``start`` is the number of its first row.

    Parameters
    ----------
    x : matrix
        Sparse, dense, dask or backed. The blocks of a dask array are processed by dask's scheduler, all others one by one.
    function : callable
        Computes the result of one block. If it raises ``Uncanonical``, it is called again with a copy of the block in which the
        columns of each row are sorted and unique.
    """
    if is_dask(x):
        import dask

        rows = x.rechunk({1: -1})
        starts = np.cumsum((0, *rows.chunks[0][:-1]))
        lazily = dask.delayed(_listed)
        parts = [lazily(p, function, int(a)) for p, a in zip(rows.to_delayed().ravel(), starts, strict=True)]
        yield from (r for part in dask.compute(*parts) for r in part)
    elif is_backed(x):
        start = 0
        for block in row_blocks(x):
            yield from _apply(block, function, start)
            start += block.shape[0]
    else:
        yield from _apply(x, function)


def stacked(parts: Iterable[NDArray]) -> NDArray:
    """Concatenate the results of successive blocks along the first axis."""
    arrays = list(parts)
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def added(parts: Iterable[NDArray]) -> NDArray:
    """Add up the results of all blocks, in order."""
    return functools.reduce(operator.add, parts)
