"""One matrix of counts in every way of storing it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

try:
    import dask.array as da
except ImportError:
    da = None


def unsorted(x: np.ndarray, kind: Callable = sp.csr_matrix) -> Any:
    """Store the columns of each row (the rows of each column) in descending order."""
    m = kind(x)
    order = np.concatenate([np.arange(a, b)[::-1] for a, b in zip(m.indptr[:-1], m.indptr[1:], strict=True)] + [[]]).astype(int)
    return kind((m.data[order], m.indices[order], m.indptr), m.shape)


def repeated(x: np.ndarray, kind: Callable = sp.csr_matrix) -> Any:
    """Store each value above 1 as 1 and the rest, in two entries."""
    m = unsorted(x, kind)
    times = np.where(m.data > 1, 2, 1)
    ends = np.cumsum(times)
    data = np.repeat(m.data, times)
    data[ends[times == 2] - 2] = 1
    data[ends[times == 2] - 1] -= 1
    return kind((data, np.repeat(m.indices, times), np.r_[0, ends][m.indptr]), m.shape)


def zeros(x: np.ndarray, kind: Callable = sp.csr_matrix) -> Any:
    """Store every entry, zeros included."""
    m = kind(np.ones_like(x))
    m.data[:] = x.ravel(order="C" if kind is sp.csr_matrix else "F")
    return m


def stale(x: np.ndarray) -> sp.csr_matrix:
    """Store repeated entries under flags of SciPy that deny them."""
    m = repeated(x)
    m.has_sorted_indices = m.has_canonical_format = True
    return m


def wide(x: np.ndarray) -> sp.csr_matrix:
    """Store indices of 64 bits."""
    m = sp.csr_matrix(x)
    m.indices, m.indptr = m.indices.astype(np.int64), m.indptr.astype(np.int64)
    return m


def read_only(x: np.ndarray) -> np.ndarray:
    """Store a dense array that cannot be written to."""
    m = x.copy()
    m.flags.writeable = False
    return m


def chunked(x: np.ndarray, kind: Callable, columns: int | None = None) -> Any:
    """Store a dask array with chunks of some rows, or of some rows and columns."""
    lazy = da.from_array(x, chunks=(max(1, len(x) // 3), columns or x.shape[1]))
    return lazy if kind is np.asarray else lazy.map_blocks(kind, dtype=x.dtype, meta=kind(np.zeros((0, 0), x.dtype)))


IN_MEMORY: dict[str, Callable[[np.ndarray], Any]] = {
    "csr": sp.csr_matrix,
    "csc": sp.csc_matrix,
    "csr array": sp.csr_array,
    "csc array": sp.csc_array,
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "read-only": read_only,
    "strided": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "64 bits": wide,
    "unsorted csr": unsorted,
    "unsorted csc": lambda x: unsorted(x, sp.csc_matrix),
    "repeated csr": repeated,
    "repeated csc": lambda x: repeated(x, sp.csc_matrix),
    "explicit zeros csr": zeros,
    "explicit zeros csc": lambda x: zeros(x, sp.csc_matrix),
    "stale flags": stale,
}
LAZY: dict[str, Callable[[np.ndarray], Any]] = {
    "dask": lambda x: chunked(x, np.asarray),
    "dask of columns": lambda x: chunked(x, np.asarray, 7),
    "dask of csr": lambda x: chunked(x, sp.csr_matrix),
    "dask of csc": lambda x: chunked(x, sp.csc_matrix),
    "dask of repeated csr": lambda x: chunked(x, repeated),
}
DTYPES = ("float16", "float32", "float64", "int8", "uint8", "int32", "uint32", "int64")
