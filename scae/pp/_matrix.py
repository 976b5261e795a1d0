"""Read any matrix (sparse, dense, dask or backed) as blocks of CSR rows, and combine the results of the blocks."""

from __future__ import annotations

import functools
import operator
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from ..errors import MatrixError, unknown
from ..io.blocks import is_backed, row_blocks
from ..kernels import csr, reshape
from ..kernels.rows import Rows, over_blocks, summable
from ._arguments import backed, need_anndata, wrong_kind
from ._slots import check_slots

R = TypeVar("R")


def is_dask(x: object) -> bool:
    """Tell whether ``x`` is a dask array, without importing dask."""
    return "dask.array" in sys.modules and isinstance(x, sys.modules["dask.array"].Array)


def is_csr(x: Any) -> bool:
    """Tell whether ``x`` is a SciPy CSR matrix or array."""
    return sparse.issparse(x) and x.format == "csr"


def sum_dtype(dtype: Any) -> np.dtype:
    """Return the dtype of sums of values of this dtype: that of NumPy and SciPy, but float64 for half precision."""
    return np.dtype(np.float64) if dtype == np.float16 else np.zeros(1, dtype).sum().dtype


def get_rep(adata: Any, verb: str, *, layer: str | None = None, obsm: str | None = None, on_disk: bool = False) -> Any:
    """Return ``X``, a layer, or an entry of ``obsm``, after a check of its arrays.

    Parameters
    ----------
    adata : AnnData
        The object; anything else is refused.
    verb : str
        Name of the verb for messages.
    layer, obsm : str, optional
        Name of the layer or entry; ``X`` by default.
    on_disk : bool
        Whether the verb can read a matrix in a file.

    Raises
    ------
    KindError
        If ``adata`` is not an AnnData object.
    MissingKeyError
        If there is no layer or entry of that name (a ``KeyError``).
    MatrixError
        If ``X`` is None, or the arrays of a sparse matrix are invalid.
    BackedError
        If the matrix is in a file, and the verb cannot read it there.
    """
    need_anndata(adata, verb)
    if adata.is_view:
        check_slots(adata._adata_ref)  # taking a part of an invalid matrix would read out of bounds
    for name, key, mapping in (("layer", layer, adata.layers), ("obsm entry", obsm, adata.obsm)):
        if key is not None:
            if key not in mapping:
                raise unknown(name, key, mapping.keys())
            return checked(mapping[key], verb, on_disk=on_disk)
    if adata.X is None:
        raise MatrixError("adata.X is None. Set it, or name a layer.")
    return checked(adata.X, verb, on_disk=on_disk)


def checked(x: Any, verb: str, *, on_disk: bool = False) -> Any:
    """Return the matrix if the verb can read it; the columns of a CSR matrix are left to the kernels, which check them.

    Raises
    ------
    KindError
        If it is not a matrix.
    BackedError
        If it is in a file, unless ``on_disk`` is true.
    MatrixError
        If it has no values that are numbers, or the arrays of a sparse matrix are invalid.
    """
    if is_backed(x):
        if not on_disk:
            raise backed(verb)
        return x
    if not (isinstance(x, np.ndarray) or sparse.issparse(x) or is_dask(x)):
        raise wrong_kind(x, verb, "an AnnData object or a matrix (dense, sparse or dask)")
    if x.dtype.kind not in "biuf":
        raise MatrixError(f"{verb} was given a matrix of {x.dtype} values. Store them as integers or floats.")
    if x.ndim != 2:
        raise MatrixError(f"{verb} was given an array of shape {x.shape}. Give a matrix of cells × genes.")
    if is_csr(x):
        csr.check_pointers(x.indptr, x.indices, x.data, x.shape[0])
    elif sparse.issparse(x):
        csr.sound(x)
    if x.dtype.itemsize > 8 or not x.dtype.isnative:  # no kernel reads extended precision or the other byte order
        return x.astype(np.float64 if x.dtype.itemsize > 8 else x.dtype.newbyteorder("="))
    return x


def summed(x: Any) -> Any:
    """Return a sparse matrix in memory itself, or a sorted copy in which repeated entries are summed; checks its arrays.

    Other matrices are returned as they are. The dtype stays, unless a sum does not fit.
    """
    if not sparse.issparse(x) or csr.sound(x):
        return x
    if x.format not in ("csr", "csc"):
        x = x.astype(summable(x.dtype)).tocsr()
        csr.sound(x)
    axis = 0 if x.format == "csr" else 1
    rows = Rows(np.asarray(x.indptr, np.int64), x.indices, x.data, x.shape[1 - axis]).canonical()
    arrays = (exactly(rows.data, x.dtype), rows.indices, rows.indptr.astype(rows.indices.dtype, copy=False))
    return type(x)(arrays, shape=x.shape)


def exactly(values: NDArray, dtype: np.dtype) -> NDArray:
    """Convert values to a dtype if it holds them exactly; or else to a wider one, so that no count wraps round or is rounded."""
    wider = (np.int64, np.float64) if dtype.kind in "iub" else (np.float32, np.float64)
    for kind in (dtype, *wider):
        with np.errstate(invalid="ignore", over="ignore"):
            converted = values.astype(kind, copy=False)
        if np.array_equal(converted, values, equal_nan=converted.dtype.kind == "f"):
            return converted
    return values


def set_rep(adata: AnnData, value: Any, *, layer: str | None = None, obsm: str | None = None) -> None:
    """Replace ``X``, a layer, or an entry of ``obsm``."""
    if layer is not None:
        adata.layers[layer] = value
    elif obsm is not None:
        adata.obsm[obsm] = value
    else:
        adata.X = value


def _listed(x: Any, function: Callable[[Rows, int], R], start: int) -> list[R]:
    return list(over_blocks(x, function, start))


class SomeGenes(NamedTuple):
    """Some genes of a matrix that is read by blocks of rows."""

    x: Any
    genes: NDArray[np.bool_]

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of cells and of these genes."""
        return self.x.shape[0], int(self.genes.sum())


def each_block(x: Any, function: Callable[[Rows, int], R]) -> Iterator[R]:
    """Yield ``function(block, start)`` for each block of rows, in order; ``start`` is the number of its first row.

    Parameters
    ----------
    x : matrix
        Sparse, dense, dask or backed, or some genes of one. The blocks of a dask array are processed by dask's scheduler, all
        others one by one.
    function : callable
        Computes the result of one block. If it raises ``Uncanonical``, it is called again with a copy of the block in which the
        columns of each row are sorted and unique.
    """
    if isinstance(x, SomeGenes):
        genes = x.genes
        yield from each_block(x.x, lambda block, start: function(reshape.keep(block, None, genes), start))
    elif is_dask(x):
        import dask

        rows = x.rechunk({1: -1})
        starts = np.cumsum((0, *rows.chunks[0][:-1]))
        lazily = dask.delayed(_listed)
        parts = [lazily(p, function, int(a)) for p, a in zip(rows.to_delayed().ravel(), starts, strict=True)]
        yield from (r for part in dask.compute(*parts) for r in part)
    elif is_backed(x):
        start = 0
        for block in row_blocks(x):
            yield from over_blocks(block, function, start)
            start += block.shape[0]
    else:
        yield from over_blocks(x, function)


def stacked(parts: Iterable[NDArray]) -> NDArray:
    """Concatenate the results of successive blocks along the first axis."""
    arrays = list(parts)
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def added(parts: Iterable[NDArray]) -> NDArray:
    """Add up the results of all blocks, in order."""
    return functools.reduce(operator.add, parts)
