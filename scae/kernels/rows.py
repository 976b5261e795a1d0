"""Rows of a sparse matrix as kernels want them: bounded pieces with int64 pointers, unsigned columns, float values.

Every count matrix becomes :class:`Rows`. A dense block is a matrix that stores every entry; integers, bools and 64-bit
column numbers are converted a piece at a time, so that kernels are compiled for two value types only and no verb needs
a second copy of the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import threads
from ..errors import MatrixError
from . import csr

_PIECE = 1 << 17  # stored values a piece: converted values stay in the second-level cache
_CHUNKS = 16  # ranges of rows whose column sums are kept apart: fixed, so that bits do not depend on the thread count

Prepare = Callable[[NDArray], NDArray]


class Uncanonical(Exception):
    """A kernel met columns that do not ascend within their row, or that the matrix does not have."""


class Rows(NamedTuple):
    """CSR arrays whose pointers are sound; columns are checked where they are used."""

    indptr: NDArray[np.int64]  # (rows+1,)
    indices: NDArray  # (nnz,) int32 or int64
    data: NDArray  # (nnz,)
    n_columns: int

    @classmethod
    def of(cls, x: Any) -> Rows:
        """The arrays of a ``scipy.sparse`` CSR matrix, after a look at its pointers.

        Raises
        ------
        MatrixError
            If pointers fall, or do not run from 0 to the number of stored values.
        """
        indptr = np.ascontiguousarray(x.indptr, dtype=np.int64)
        sound = indptr.size == x.shape[0] + 1 and indptr[0] == 0 and indptr[-1] == x.indices.size == x.data.size
        if not sound or (np.diff(indptr) < 0).any():
            csr.validate(x.indptr, x.indices, x.data, x.shape[1])
            raise MatrixError(f"invalid CSR matrix: {indptr.size} row pointers for {x.shape[0]} rows.")
        return cls(indptr, np.ascontiguousarray(x.indices), np.ascontiguousarray(x.data), x.shape[1])

    @classmethod
    def full(cls, x: NDArray) -> Rows:
        """A dense block ``(rows, columns)`` as a matrix that stores every entry."""
        n, columns = x.shape
        indices = np.tile(np.arange(columns, dtype=np.int32), n)
        return cls(np.arange(n + 1, dtype=np.int64) * columns, indices, np.ascontiguousarray(x).reshape(-1), columns)

    @property
    def n_rows(self) -> int:
        return self.indptr.size - 1

    def take(self, rows: NDArray[np.int64]) -> Rows:
        """Some rows, in the order asked for."""
        return Rows(*csr.gather(self.indptr, self.indices, self.data, rows), self.n_columns)

    def canonical(self) -> Rows:
        """The same matrix with sorted, unique columns; the input is left as it is.

        Raises
        ------
        MatrixError
            If a column lies outside the matrix.
        """
        from scipy.sparse import csr_matrix

        csr.validate(self.indptr, self.indices, self.data, self.n_columns)
        arrays = (self.data.copy(), self.indices.copy(), self.indptr.copy())
        x = csr_matrix(arrays, shape=(self.n_rows, self.n_columns))
        x.sum_duplicates()
        return Rows.of(x)


class Piece(NamedTuple):
    """A run of rows with its own arrays; entry ``k`` of the matrix is entry ``k - offset`` of these."""

    start: int
    stop: int
    offset: int
    indices: NDArray[np.uint32]
    data: NDArray  # float32 or float64


def pieces(m: Rows, start: int, stop: int, prepare: Prepare | None = None) -> Iterator[Piece]:
    """The rows ``start…stop`` in order; a single piece without copies where kernels can read the arrays as they are."""
    floats = m.data.dtype in (np.float32, np.float64) and m.data.dtype.isnative
    if prepare is None and floats and m.indices.dtype == np.int32:
        a, b = m.indptr[start], m.indptr[stop]
        yield Piece(start, stop, int(a), m.indices[a:b].view(np.uint32), m.data[a:b])
        return
    while start < stop:
        a = m.indptr[start]
        upto = int(np.searchsorted(m.indptr[: stop + 1], a + _PIECE, side="right")) - 1
        upto = min(max(upto, start + 1), stop)
        b = m.indptr[upto]
        values = m.data[a:b] if floats else m.data[a:b].astype(np.float64)
        yield Piece(start, upto, int(a), _columns(m.indices[a:b], m.n_columns), prepare(values) if prepare else values)
        start = upto


def _columns(indices: NDArray, n_columns: int) -> NDArray[np.uint32]:
    if indices.dtype != np.int32:
        if indices.size and (indices.min() < 0 or indices.max() >= n_columns):
            raise Uncanonical  # narrowing would hide it
        indices = indices.astype(np.int32)
    return indices.view(np.uint32)


def n_chunks(m: Rows, cap: int = _CHUNKS) -> int:
    """Into how many ranges column sums are split: fewer where the sums would outgrow a quarter of the matrix."""
    return max(1, min(cap, m.data.size // (8 * max(1, m.n_columns)), m.n_rows))


def each_chunk(m: Rows, chunks: int, function: Callable[[int, int, int], None]) -> None:
    """Call ``function(chunk, first row, last row + 1)`` for ranges of about equal work, on several threads."""
    cuts = np.searchsorted(m.indptr, np.linspace(0, m.data.size, chunks + 1), side="left").clip(0, m.n_rows)
    cuts[0], cuts[-1] = 0, m.n_rows

    def some(start: int, stop: int) -> None:
        for i in range(start, stop):
            function(i, int(cuts[i]), int(cuts[i + 1]))

    threads.run(some, chunks, work=m.data.size)
