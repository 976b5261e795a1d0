"""Sums over the rows and over the columns of a sparse matrix, in float64 and in a fixed order of summation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .jit import jit
from .rows import Piece, Prepare, Rows, Uncanonical, by_chunk, each_chunk, n_chunks, pieces

SQUARES, POSITIVE, NONZERO = 0, 1, 2  # second sum of each column: Σv², number of v > 0, number of v ≠ 0
_NOT_COUNTS, _INVALID = 1, 2  # bits of the status of :func:`add_columns`


@jit
def valid(at, n):
    """Tell whether the columns of a row ascend and are below n; without an early exit, so that the loop is vectorised."""
    decreases = 0
    for k in range(1, at.size):
        decreases += at[k] <= at[k - 1]
    return decreases == 0 and (at.size == 0 or np.int64(at[-1]) < n)


@jit
def _columns(start, stop, offset, indptr, indices, data, second, out):
    """Add Σv and the second sum of each column to ``out``; see :func:`add_columns` for the status that it returns."""
    not_counts = 0
    for row in range(start, stop):
        a, b = indptr[row] - offset, indptr[row + 1] - offset
        at, values = indices[a:b], data[a:b]
        if not valid(at, out.shape[0]):
            return 2
        for k in range(values.size):
            not_counts += (values[k] < 0) | (values[k] != np.floor(values[k]))
        for k in range(values.size):
            c, v = at[k], np.float64(values[k])
            out[c, 0] += v
            if second == 0:
                out[c, 1] += v * v
            elif second == 1:
                out[c, 1] += v > 0
            else:
                out[c, 1] += v != 0
    return np.int64(not_counts > 0)


@jit
def _detected(start, stop, offset, indptr, indices, data, out):
    """Add the number of positive values of each column to ``out``; return False if a column is invalid."""
    for row in range(start, stop):
        a, b = indptr[row] - offset, indptr[row + 1] - offset
        at, values = indices[a:b], data[a:b]
        if not valid(at, out.size):
            return False
        for k in range(values.size):
            out[at[k]] += values[k] > 0
    return True


def detected(m: Rows) -> NDArray[np.int64]:
    """Return the number of positive values of each column, ``(columns,)``.

    Raises
    ------
    Uncanonical
        If the columns of a row do not ascend, or a column is outside the matrix.
    """
    out = np.zeros((n_chunks(m), m.n_columns), np.int32)  # half the memory of int64; a chunk has fewer than 2³¹ rows
    return by_chunk(m, _detected, out).sum(axis=0, dtype=np.int64)


def add_columns(indptr: NDArray[np.int64], p: Piece, data: NDArray, second: int, out: NDArray[np.float64]) -> int:
    """Add the column sums of a piece to ``out``.

    Parameters
    ----------
    indptr : int64 array, shape (rows + 1,)
        Row pointers of the whole matrix.
    p : Piece
        Rows and columns.
    data : array
        Values to sum, one for each column in ``p``.
    second : int
        ``SQUARES``, ``POSITIVE`` or ``NONZERO``.
    out : array, shape (columns, 2)
        Sums.

    Returns
    -------
    int
        0; 1 if a value is negative or not a whole number; 2 if a column is invalid.
    """
    return _columns(p.start, p.stop, p.offset, indptr, p.indices, data, second, out)


def columns(m: Rows, second: int, prepare: Prepare | None = None) -> tuple[NDArray[np.float64], bool]:
    """Compute two sums of each column, and tell whether all values are counts.

    Parameters
    ----------
    m : Rows
        The matrix.
    second : int
        The second sum: ``SQUARES`` for Σv², ``POSITIVE`` for the number of v > 0, ``NONZERO`` for the number of v ≠ 0.
    prepare : callable, optional
        Computes the values v from the stored values, e.g. ``numpy.expm1``; it must map 0 to 0.

    Returns
    -------
    array, shape (columns, 2)
        Σv and the second sum.
    bool
        True if every value is a whole number of at least 0.

    Raises
    ------
    Uncanonical
        If the columns of a row do not ascend, or a column is outside the matrix.
    """
    chunks = n_chunks(m)
    out = np.zeros((chunks, m.n_columns, 2))
    status = np.zeros(chunks, np.int64)

    def add(chunk: int, start: int, stop: int) -> None:
        for p in pieces(m, start, stop, prepare):
            status[chunk] |= add_columns(m.indptr, p, p.data, second, out[chunk])

    each_chunk(m, chunks, add)
    if (status & _INVALID).any():
        raise Uncanonical
    return out.sum(axis=0), not (status & _NOT_COUNTS).any()


@jit
def _clipped(start, stop, offset, indptr, indices, data, ceiling, out):
    """Add the parts that clipping removes from Σv and Σv² of each column; return False if a column is invalid."""
    n = ceiling.size
    for row in range(start, stop):
        before = -1
        for k in range(indptr[row] - offset, indptr[row + 1] - offset):
            c = indices[k]
            if np.int64(c) <= before or np.int64(c) >= n:
                return False
            before = np.int64(c)
            v = np.float64(data[k])
            if v > ceiling[c]:
                out[c, 0] += v - ceiling[c]
                out[c, 1] += v * v - ceiling[c] * ceiling[c]
    return True


def clipped(m: Rows, ceiling: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much Σv and Σv² of each column decrease if values are clipped at ``ceiling``, ``(columns, 2)``.

    Raises
    ------
    Uncanonical
        If the columns of a row do not ascend, or a column is outside the matrix.
    """
    chunks = n_chunks(m)
    out = np.zeros((chunks, m.n_columns, 2))
    valid = np.ones(chunks, bool)

    def add(chunk: int, start: int, stop: int) -> None:
        for p in pieces(m, start, stop):
            valid[chunk] &= _clipped(p.start, p.stop, p.offset, m.indptr, p.indices, p.data, ceiling, out[chunk])

    each_chunk(m, chunks, add)
    if not valid.all():
        raise Uncanonical
    return out.sum(axis=0)


@jit(reorder=True)
def _rows(start, stop, offset, indptr, indices, data, n_columns, out):
    """Write Σv and the number of v > 0 of each row to ``out``; return False if a column is invalid."""
    for row in range(start, stop):
        a, b = indptr[row] - offset, indptr[row + 1] - offset
        values, at = data[a:b], indices[a:b]
        total = 0.0
        positive = 0
        increases = 1
        for k in range(values.size):
            total += np.float64(values[k])
            positive += values[k] > 0
        for k in range(1, at.size):
            increases += at[k] > at[k - 1]
        if at.size and (increases < at.size or np.int64(at[-1]) >= n_columns):
            return False
        out[row, 0], out[row, 1] = total, positive
    return True


def rows(m: Rows) -> NDArray[np.float64]:
    """Return the sum and the number of positive values of each row, ``(rows, 2)``.

    Raises
    ------
    Uncanonical
        If the columns of a row do not ascend, or a column is outside the matrix.
    """
    chunks = n_chunks(m, 64)
    out = np.empty((m.n_rows, 2))
    valid = np.ones(chunks, bool)

    def fill(chunk: int, start: int, stop: int) -> None:
        for p in pieces(m, start, stop):
            valid[chunk] &= _rows(p.start, p.stop, p.offset, m.indptr, p.indices, p.data, m.n_columns, out)

    each_chunk(m, chunks, fill)
    if not valid.all():
        raise Uncanonical
    return out
