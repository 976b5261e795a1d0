"""Sums for quality control in one pass: totals of cells and genes, of sets of genes and of the most abundant genes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .jit import jit
from .rows import Rows, Uncanonical, each_chunk, n_chunks, pieces


@jit
def _order(values, keys):
    """Fill ``keys`` with integers that have the same order as the values.

    Whole numbers below 2³⁰ are their own keys, which keeps the interval of the bisection short. The keys of other values come
    from the bits of the floats.
    """
    whole = True
    for k in range(values.size):
        whole &= (values[k] == np.floor(values[k])) & (abs(values[k]) < 2**30)
    if whole:
        for k in range(values.size):
            keys[k] = values[k]
    else:
        bits = values.view(keys.dtype)
        for k in range(values.size):
            keys[k] = bits[k] if bits[k] >= 0 else np.iinfo(bits.dtype).min - bits[k]


@jit
def _nth_largest(keys, n, low, high):
    """Return the n-th largest key, which lies in ``low…high``, by bisection: counting larger keys is vectorised."""
    while low < high:
        middle = (low & high) + ((low ^ high) >> 1)  # mean of low and high without overflow of their sum
        bound, above = keys.dtype.type(middle), np.uint32(0)  # 32-bit, so that a vector holds more of them
        for k in range(keys.size):
            above += np.uint32(keys[k] > bound)
        if above >= n:
            low = middle + 1
        else:
            high = middle
    return low


@jit(reorder=True)
def _top(values, keys, ns, out):
    """Write the sum of the ``ns[i]`` largest values to ``out[i]``; ``ns`` ascends. If there are fewer values, all are summed."""
    _order(values, keys)
    smallest, largest = keys[0], keys[0]
    for k in range(keys.size):
        smallest, largest = min(smallest, keys[k]), max(largest, keys[k])
    low, high = np.int64(smallest), np.int64(largest)
    for i in range(ns.size):
        total = 0.0
        if values.size <= ns[i]:
            for k in range(values.size):
                total += np.float64(values[k])
        else:
            bound = _nth_largest(keys, ns[i], low, high)
            level, above, at = keys.dtype.type(bound), np.uint32(0), 0
            for k in range(keys.size):
                total += np.float64(values[k]) if keys[k] > level else 0.0
                above += np.uint32(keys[k] > level)
            while keys[at] != level:
                at += 1
            total += (ns[i] - above) * np.float64(values[at])
            high = bound
        out[i] = total


@jit(reorder=True)
def _quality(start, stop, offset, matrix, weights, in_a_set, ns, keys, out):
    """Process a range of rows; return False if a column is invalid. See :class:`Quality` for the outputs."""
    indptr, indices, data = matrix
    cells, sets, top, genes = out
    n = genes.shape[0]
    for row in range(start, stop):
        a, b = indptr[row] - offset, indptr[row + 1] - offset
        at, values = indices[a:b], data[a:b]
        total, stored, before = 0.0, 0, -1
        for k in range(at.size):
            c, v = at[k], np.float64(values[k])
            if np.int64(c) <= before or np.int64(c) >= n:
                return False
            before = np.int64(c)
            total += v
            stored += v != 0
            genes[c, 0] += v
            genes[c, 1] += v != 0
            if in_a_set[c]:
                for s in range(sets.shape[1]):
                    sets[row, s] += weights[c, s] * v
        cells[row, 0], cells[row, 1] = total, stored
        if ns.size and values.size:
            _top(values, keys[: values.size], ns, top[row])
    return True


class Quality(NamedTuple):
    """Sums from which the quality metrics are computed."""

    cells: NDArray[np.float64]  # (rows, 2): total, number of values that are not 0
    sets: NDArray[np.float64]  # (rows, sets): total of each set of genes
    top: NDArray[np.float64]  # (rows, len(ns)): total of the ns[i] largest values
    genes: NDArray[np.float64]  # (columns, 2): total, number of values that are not 0


def quality(m: Rows, weights: NDArray[np.float64], ns: NDArray[np.int64]) -> Quality:
    """Compute all sums that quality control needs in one pass over the matrix.

    Parameters
    ----------
    m : Rows
        Cells × genes.
    weights : array, shape (columns, sets)
        How often each gene is in each set.
    ns : int64 array
        Numbers of top genes, ascending.

    Returns
    -------
    Quality

    Raises
    ------
    Uncanonical
        If the columns of a row do not ascend, or a column is outside the matrix.
    """
    chunks = n_chunks(m)
    out = Quality(
        np.zeros((m.n_rows, 2)),
        np.zeros((m.n_rows, weights.shape[1])),
        np.zeros((m.n_rows, ns.size)),
        np.zeros((chunks, m.n_columns, 2)),
    )
    in_a_set, valid = weights.any(axis=1), np.ones(chunks, bool)
    longest = int(np.diff(m.indptr).max(initial=0))

    def add(chunk: int, start: int, stop: int) -> None:
        for p in pieces(m, start, stop):
            keys = np.empty(longest, np.int32 if p.data.itemsize == 4 else np.int64)
            matrix, outputs = (m.indptr, p.indices, p.data), (out.cells, out.sets, out.top, out.genes[chunk])
            valid[chunk] &= _quality(p.start, p.stop, p.offset, matrix, weights, in_a_set, ns, keys, outputs)

    each_chunk(m, chunks, add)
    if not valid.all():
        raise Uncanonical
    return out._replace(genes=out.genes.sum(axis=0))
