"""Rows of a matrix in the form that kernels read: int64 pointers, unsigned 32-bit columns and float values.

Every count matrix is converted to :class:`Rows`; a dense block becomes a CSR matrix that stores every entry. Integers, booleans
and 64-bit columns are converted in small pieces. Kernels are therefore compiled for two dtypes of values only, and the data are
never copied as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import threads
from . import csr

_PIECE = 1 << 17  # stored values per piece, few enough for the converted values to stay in the L2 cache
_CHUNKS = 16  # ranges of rows with separate column sums; fixed, so that results do not depend on the number of threads

_DENSE_BLOCK = 1 << 21  # entries per block of a dense matrix

R = TypeVar("R")
Prepare = Callable[[NDArray], NDArray]


class Uncanonical(Exception):
    """The columns of a row do not ascend, or a column is outside the matrix."""


class Rows(NamedTuple):
    """CSR arrays with valid row pointers; the columns are checked by the kernels that read them."""

    indptr: NDArray[np.int64]  # (rows + 1,)
    indices: NDArray  # (nnz,) int32 or int64
    data: NDArray  # (nnz,)
    n_columns: int

    @classmethod
    def of(cls, x: Any) -> Rows:
        """Take the arrays of a SciPy CSR matrix, and check the row pointers.

        Raises
        ------
        MatrixError
            If the pointers decrease, do not run from 0 to the number of stored values, or do not fit the number of rows.
        """
        csr.check_pointers(x.indptr, x.indices, x.data, x.shape[0])
        indptr = np.ascontiguousarray(x.indptr, dtype=np.int64)
        return cls(indptr, np.ascontiguousarray(x.indices), np.ascontiguousarray(x.data), x.shape[1])

    @classmethod
    def full(cls, x: NDArray) -> Rows:
        """Convert a dense array, ``(rows, columns)``, to CSR arrays that store every entry."""
        n, columns = x.shape
        indices = np.tile(np.arange(columns, dtype=np.int32), n)
        return cls(np.arange(n + 1, dtype=np.int64) * columns, indices, np.ascontiguousarray(x).reshape(-1), columns)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.indptr.size - 1

    def take(self, rows: NDArray[np.int64]) -> Rows:
        """Return some rows in the given order."""
        return Rows(*csr.gather(self.indptr, self.indices, self.data, rows), self.n_columns)

    def canonical(self) -> Rows:
        """Return a copy in which the columns of each row are sorted, and repeated columns are summed.

        The sums of integers are int64, so that those of small integers do not wrap round.

        Raises
        ------
        MatrixError
            If a column is outside the matrix.
        """
        from scipy.sparse import csr_matrix

        csr.validate(self.indptr, self.indices, self.data, self.n_columns)
        arrays = (self.data.astype(summable(self.data.dtype)), self.indices.copy(), self.indptr.copy())
        x = csr_matrix(arrays, shape=(self.n_rows, self.n_columns))
        x.sum_duplicates()
        return Rows.of(x)


def summable(dtype: np.dtype) -> np.dtype:
    """Return the dtype in which a few values are summed: int64 for small integers, float32 for half precision."""
    if dtype.kind in "iu" and dtype != np.uint64:
        return np.dtype(np.int64)
    return np.dtype(np.float32) if dtype == np.float16 else dtype


class Piece(NamedTuple):
    """Columns and values of a range of rows; entry ``k`` of the matrix is entry ``k - offset`` of these arrays."""

    start: int  # first row
    stop: int  # last row + 1
    offset: int  # stored values before the first row
    indices: NDArray[np.uint32]
    data: NDArray  # float32 or float64


def pieces(m: Rows, start: int, stop: int, prepare: Prepare | None = None) -> Iterator[Piece]:
    """Yield a range of rows in pieces; as a single piece without copies if kernels can read the arrays directly.

    Parameters
    ----------
    m : Rows
        The matrix.
    start, stop : int
        Range of rows.
    prepare : callable, optional
        Computes new values from the stored values of a piece, e.g. ``numpy.expm1``.

    Raises
    ------
    Uncanonical
        If a column that has to be converted is outside the matrix.
    """
    floats = m.data.dtype in (np.float32, np.float64) and m.data.dtype.isnative
    if prepare is None and floats and m.indices.dtype == np.int32:
        a, b = m.indptr[start], m.indptr[stop]
        yield Piece(start, stop, int(a), m.indices[a:b].view(np.uint32), m.data[a:b])
        return
    while start < stop:
        a = m.indptr[start]
        next_start = int(np.searchsorted(m.indptr[: stop + 1], a + _PIECE, side="right")) - 1
        next_start = min(max(next_start, start + 1), stop)
        b = m.indptr[next_start]
        values = m.data[a:b] if floats else m.data[a:b].astype(np.float64)
        yield Piece(start, next_start, int(a), _columns(m.indices[a:b], m.n_columns), prepare(values) if prepare else values)
        start = next_start


def _columns(indices: NDArray, n_columns: int) -> NDArray[np.uint32]:
    """Convert column numbers to 32 bits, unsigned: a negative column then exceeds the number of columns."""
    if indices.dtype != np.int32:
        if indices.size and (indices.min() < 0 or indices.max() >= n_columns):
            raise Uncanonical  # the conversion to 32 bits could make it look valid
        indices = indices.astype(np.int32)
    return indices.view(np.uint32)


def n_chunks(m: Rows, cap: int = _CHUNKS) -> int:
    """Return the number of row ranges with separate column sums, at most ``cap``; fewer if the sums would take much memory."""
    return max(1, min(cap, m.data.size // (8 * max(1, m.n_columns)), m.n_rows))


def each_chunk(m: Rows, chunks: int, function: Callable[[int, int, int], None]) -> None:
    """Call ``function(chunk, start, stop)`` for ranges of rows with about equal numbers of values, on several threads.

    Parameters
    ----------
    m : Rows
        The matrix.
    chunks : int
        Number of ranges.
    function : callable
        Gets the number of the range, its first row, and its last row + 1.
    """
    cuts = np.searchsorted(m.indptr, np.linspace(0, m.data.size, chunks + 1), side="left").clip(0, m.n_rows)
    cuts[0], cuts[-1] = 0, m.n_rows

    def work(start: int, stop: int) -> None:
        for i in range(start, stop):
            function(i, int(cuts[i]), int(cuts[i + 1]))

    threads.run(work, chunks, work=m.data.size)


def by_chunk(m: Rows, kernel: Callable[..., bool], out: NDArray) -> NDArray:
    """Fill ``out[chunk]`` by a kernel of columns, chunk by chunk, on several threads; return ``out``.

    Parameters
    ----------
    m : Rows
        The matrix.
    kernel : callable
        ``kernel(start, stop, offset, indptr, indices, data, out)``; returns False if a column is invalid.
    out : array, shape (chunks, columns, ...)
        Results of the chunks.

    Raises
    ------
    Uncanonical
        If the columns of a row do not ascend, or a column is outside the matrix.
    """
    valid = np.ones(len(out), bool)

    def work(chunk: int, start: int, stop: int) -> None:
        for p in pieces(m, start, stop):
            valid[chunk] &= kernel(p.start, p.stop, p.offset, m.indptr, p.indices, p.data, out[chunk])

    each_chunk(m, len(out), work)
    if not valid.all():
        raise Uncanonical
    return out


def memory_blocks(x: Any) -> Iterator[Rows]:
    """Yield a matrix in memory as CSR rows: a sparse matrix in one block, a dense one in blocks of bounded size."""
    if hasattr(x, "tocsr"):
        if x.format != "csr":
            csr.sound(x)
        yield Rows.of(x if x.format == "csr" else x.tocsr())
        return
    x = np.asarray(x)
    step = max(1, _DENSE_BLOCK // max(1, x.shape[1]))
    for start in range(0, max(1, x.shape[0]), step):
        yield Rows.full(x[start : start + step])


def over_blocks(x: Any, function: Callable[[Rows, int], R], start: int = 0) -> Iterator[R]:
    """Yield ``function(block, row)`` for the blocks of a matrix in memory; ``row`` is the number of a block's first row.

    If the function raises ``Uncanonical``, it is called again with a copy of the block in which the columns of each row are
    sorted and unique. ``start`` is the number of the matrix's first row.
    """
    for block in memory_blocks(x):
        try:
            yield function(block, start)
        except Uncanonical:
            yield function(block.canonical(), start)
        start += block.n_rows
