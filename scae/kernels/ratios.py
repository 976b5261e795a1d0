"""Ratios of counts to a reference per gene, and the deviance of counts from a constant share per gene."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .jit import jit
from .rows import Rows, each_chunk, n_chunks, pieces


@jit
def _medians(start, stop, offset, indptr, indices, data, reference, buffer, out):
    """Write the median ratio of each row of a range to ``out``."""
    for row in range(start, stop):
        n = 0
        for k in range(indptr[row] - offset, indptr[row + 1] - offset):
            if data[k] > 0:
                buffer[n] = np.float64(data[k]) / reference[indices[k]]
                n += 1
        ordered = np.sort(buffer[:n])
        out[row] = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2 if n else 0.0


def median_ratios(m: Rows, reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the median of count / reference over the detected genes of each cell.

    Parameters
    ----------
    m : Rows
        Counts, cells × genes. The columns must be known to be valid.
    reference : array, shape (genes,)
        Reference value of each gene.

    Returns
    -------
    array, shape (cells,)
        The medians; 0 for cells without counts.
    """
    out = np.zeros(m.n_rows)
    longest = int(np.diff(m.indptr).max(initial=0))

    def fill(_: int, start: int, stop: int) -> None:
        for p in pieces(m, start, stop):
            _medians(p.start, p.stop, p.offset, m.indptr, p.indices, p.data, reference, np.empty(longest), out)

    each_chunk(m, n_chunks(m, 64), fill)
    return out


@jit
def _deviance(start, stop, offset, indptr, indices, data, depths, binomial, out):
    """Add the sums of a range of rows to ``out``."""
    for row in range(start, stop):
        n = depths[row]
        for k in range(indptr[row] - offset, indptr[row + 1] - offset):
            y = np.float64(data[k])
            if y > 0:
                out[indices[k]] += y * np.log(y / n)
                if binomial and y < n:
                    out[indices[k]] += (n - y) * np.log1p(-y / n)


def deviance_sums(m: Rows, depths: NDArray[np.float64], *, binomial: bool) -> NDArray[np.float64]:
    """Compute the log likelihood of the saturated model for each gene, up to constants that cancel in the deviance.

    For a count y in a cell of depth n, the term is y log(y/n); the binomial adds (n − y) log(1 − y/n). Only stored counts
    contribute.

    Parameters
    ----------
    m : Rows
        Counts, cells × genes. The columns must be known to be valid.
    depths : array, shape (cells,)
        Total count of each cell.
    binomial : bool
        True for the binomial, False for the Poisson model.

    Returns
    -------
    array, shape (genes,)
        Sums over the cells, in nats.
    """
    chunks = n_chunks(m)
    out = np.zeros((chunks, m.n_columns))

    def add(chunk: int, start: int, stop: int) -> None:
        for p in pieces(m, start, stop):
            _deviance(p.start, p.stop, p.offset, m.indptr, p.indices, p.data, depths, binomial, out[chunk])

    each_chunk(m, chunks, add)
    return out.sum(axis=0)
