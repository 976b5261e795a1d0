"""Statistics of counts relative to what a cell's depth or a gene's level lets expect."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .jit import jit
from .rows import Rows, each_chunk, n_chunks, pieces


@jit
def _medians(start, stop, offset, indptr, indices, data, reference, buffer, out):
    for row in range(start, stop):
        n = 0
        for k in range(indptr[row] - offset, indptr[row + 1] - offset):
            if data[k] > 0:
                buffer[n] = np.float64(data[k]) / reference[indices[k]]
                n += 1
        ordered = np.sort(buffer[:n])
        out[row] = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2 if n else 0.0


def median_ratios(m: Rows, reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median over a cell's detected genes of count / reference, ``(rows,)``; 0 for empty cells."""
    out = np.zeros(m.n_rows)
    longest = int(np.diff(m.indptr).max(initial=0))

    def fill(_: int, start: int, stop: int) -> None:
        for p in pieces(m, start, stop):
            _medians(p.start, p.stop, p.offset, m.indptr, p.indices, p.data, reference, np.empty(longest), out)

    each_chunk(m, n_chunks(m, 64), fill)
    return out


@jit
def _deviance(start, stop, offset, indptr, indices, data, depths, binomial, out):
    """Add Σ y log(y/n), and for the binomial Σ (n−y) log(1 − y/n), of the stored counts."""
    for row in range(start, stop):
        n = depths[row]
        for k in range(indptr[row] - offset, indptr[row + 1] - offset):
            y = np.float64(data[k])
            if y > 0:
                out[indices[k]] += y * np.log(y / n)
                if binomial and y < n:
                    out[indices[k]] += (n - y) * np.log1p(-y / n)


def deviance_sums(m: Rows, depths: NDArray[np.float64], *, binomial: bool) -> NDArray[np.float64]:
    """``(genes,)``: the part of each gene's deviance that its stored counts make; columns must have been checked."""
    chunks = n_chunks(m)
    out = np.zeros((chunks, m.n_columns))

    def add(chunk: int, start: int, stop: int) -> None:
        for p in pieces(m, start, stop):
            _deviance(p.start, p.stop, p.offset, m.indptr, p.indices, p.data, depths, binomial, out[chunk])

    each_chunk(m, chunks, add)
    return out.sum(axis=0)
