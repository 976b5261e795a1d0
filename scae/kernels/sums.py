"""Sums over the rows and the columns of a sparse matrix, in double precision and in a fixed order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .jit import jit
from .rows import Piece, Prepare, Rows, Uncanonical, each_chunk, n_chunks, pieces

SQUARES, POSITIVE, NONZERO = 0, 1, 2  # what is summed beside the values
_FRACTIONS, _BAD = 1, 2


@jit
def _sound(at, n):
    """Whether columns rise and lie inside the matrix; summed rather than left early, so that it runs four at a time."""
    falls = 0
    for k in range(1, at.size):
        falls += at[k] <= at[k - 1]
    return falls == 0 and (at.size == 0 or np.int64(at[-1]) < n)


@jit
def _columns(start, stop, offset, indptr, indices, data, second, out):
    """Add Σv and Σ second(v) of each column to ``out``; says whether a value was no count or a column was bad."""
    fractions = 0
    for row in range(start, stop):
        a, b = indptr[row] - offset, indptr[row + 1] - offset
        at, values = indices[a:b], data[a:b]
        if not _sound(at, out.shape[0]):
            return 2
        for k in range(values.size):
            fractions += (values[k] < 0) | (values[k] != np.floor(values[k]))
        for k in range(values.size):
            c, v = at[k], np.float64(values[k])
            out[c, 0] += v
            if second == 0:
                out[c, 1] += v * v
            elif second == 1:
                out[c, 1] += v > 0
            else:
                out[c, 1] += v != 0
    return np.int64(fractions > 0)


@jit
def _detected(start, stop, offset, indptr, indices, data, out):
    """Add to ``out`` how many values of each column are above zero; False where a column is bad."""
    for row in range(start, stop):
        a, b = indptr[row] - offset, indptr[row + 1] - offset
        at, values = indices[a:b], data[a:b]
        if not _sound(at, out.size):
            return False
        for k in range(values.size):
            out[at[k]] += values[k] > 0
    return True


def detected(m: Rows) -> NDArray[np.int64]:
    """``(columns,)``: how many values of each column are above zero.

    Raises
    ------
    Uncanonical
        If a column repeats, falls, or lies outside the matrix.
    """
    chunks = n_chunks(m)
    out = np.zeros((chunks, m.n_columns), np.int32)  # half the memory traffic of int64; a chunk has fewer rows than 2³¹
    sound = np.ones(chunks, bool)

    def add(chunk: int, start: int, stop: int) -> None:
        for p in pieces(m, start, stop):
            sound[chunk] &= _detected(p.start, p.stop, p.offset, m.indptr, p.indices, p.data, out[chunk])

    each_chunk(m, chunks, add)
    if not sound.all():
        raise Uncanonical
    return out.sum(axis=0, dtype=np.int64)


def add_columns(indptr: NDArray[np.int64], p: Piece, data: NDArray, second: int, out: NDArray[np.float64]) -> int:
    """Add the column sums of a piece, with ``data`` for its values; bits of the answer: 1 = no counts, 2 = bad columns."""
    return _columns(p.start, p.stop, p.offset, indptr, p.indices, data, second, out)


def columns(m: Rows, second: int, prepare: Prepare | None = None) -> tuple[NDArray[np.float64], bool]:
    """Column sums, a second sum, and whether all values are counts.

    Parameters
    ----------
    m
        The matrix.
    second
        ``SQUARES``, ``POSITIVE`` or ``NONZERO``.
    prepare
        Makes new values from stored ones, e.g. ``numpy.expm1``; zero must stay zero.

    Returns
    -------
    ``(columns, 2)`` sums, and True where every stored value is a whole number that is not negative.

    Raises
    ------
    Uncanonical
        If a column repeats, falls, or lies outside the matrix.
    """
    chunks = n_chunks(m)
    out = np.zeros((chunks, m.n_columns, 2))
    status = np.zeros(chunks, np.int64)

    def add(chunk: int, start: int, stop: int) -> None:
        for p in pieces(m, start, stop, prepare):
            status[chunk] |= add_columns(m.indptr, p, p.data, second, out[chunk])

    each_chunk(m, chunks, add)
    if (status & _BAD).any():
        raise Uncanonical
    return out.sum(axis=0), not (status & _FRACTIONS).any()


@jit
def _clipped(start, stop, offset, indptr, indices, data, ceiling, out):
    """Add what clipping takes from Σv and Σv² of each column: only values above their ceiling cost more than a look."""
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
    """What Σv and Σv² of each column lose when values are cut at ``ceiling``.

    Raises
    ------
    Uncanonical
        If a column repeats, falls, or lies outside the matrix.
    """
    chunks = n_chunks(m)
    out = np.zeros((chunks, m.n_columns, 2))
    sound = np.ones(chunks, bool)

    def add(chunk: int, start: int, stop: int) -> None:
        for p in pieces(m, start, stop):
            sound[chunk] &= _clipped(p.start, p.stop, p.offset, m.indptr, p.indices, p.data, ceiling, out[chunk])

    each_chunk(m, chunks, add)
    if not sound.all():
        raise Uncanonical
    return out.sum(axis=0)


@jit(reorder=True)
def _rows(start, stop, offset, indptr, indices, data, n_columns, out):
    """Σv and the number of v > 0 of each row; False where a column is bad."""
    for row in range(start, stop):
        a, b = indptr[row] - offset, indptr[row + 1] - offset
        values, at = data[a:b], indices[a:b]
        total = 0.0
        positive = 0
        rises = 1
        for k in range(values.size):
            total += np.float64(values[k])
            positive += values[k] > 0
        for k in range(1, at.size):
            rises += at[k] > at[k - 1]
        if at.size and (rises < at.size or np.int64(at[-1]) >= n_columns):
            return False
        out[row, 0], out[row, 1] = total, positive
    return True


def rows(m: Rows) -> NDArray[np.float64]:
    """``(rows, 2)``: the sum and the number of positive values of each row.

    Raises
    ------
    Uncanonical
        If a column repeats, falls, or lies outside the matrix.
    """
    chunks = n_chunks(m, 64)
    out = np.empty((m.n_rows, 2))
    sound = np.ones(chunks, bool)

    def fill(chunk: int, start: int, stop: int) -> None:
        for p in pieces(m, start, stop):
            sound[chunk] &= _rows(p.start, p.stop, p.offset, m.indptr, p.indices, p.data, m.n_columns, out)

    each_chunk(m, chunks, fill)
    if not sound.all():
        raise Uncanonical
    return out
