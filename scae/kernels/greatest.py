"""The two greatest values of each column, and the genes whose greatest count stands alone."""

from __future__ import annotations

from functools import reduce

import numpy as np
from numpy.typing import NDArray

from .jit import jit
from .rows import Rows, by_chunk, n_chunks
from .sums import valid

LEAST, FACTOR = 10, 4  # a lone spike is a count of at least 10 and more than four times the second greatest of its gene


@jit
def _greatest(start, stop, offset, indptr, indices, data, out):
    """Update the two greatest values of each column; return False if a column is invalid."""
    for row in range(start, stop):
        a, b = indptr[row] - offset, indptr[row + 1] - offset
        at, values = indices[a:b], data[a:b]
        if not valid(at, out.shape[0]):
            return False
        for k in range(values.size):
            c, v = at[k], np.float64(values[k])
            if v > out[c, 1]:
                out[c, 0], out[c, 1] = max(out[c, 0], v), min(out[c, 0], v)
    return True


def two_greatest(m: Rows) -> NDArray[np.float64]:
    """The greatest and the second greatest value of each column, ``(columns, 2)``; 0 where there is none above 0.

    Raises
    ------
    Uncanonical
        If the columns of a row do not ascend, or a column is outside the matrix.
    """
    return reduce(merged, by_chunk(m, _greatest, np.zeros((n_chunks(m), m.n_columns, 2))))


def merged(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """The two greatest values of each column of two blocks of rows, from those of each."""
    second = np.maximum(np.minimum(a[:, 0], b[:, 0]), np.maximum(a[:, 1], b[:, 1]))
    return np.stack([np.maximum(a[:, 0], b[:, 0]), second], axis=1)


def is_lone_spike(greatest: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which genes have a lone spike, ``(genes,)``, from the two greatest counts of each, ``(genes, 2)``.

    Examples
    --------
    >>> is_lone_spike(np.array([[40.0, 2.0], [8.0, 0.0], [40.0, 10.0]])).tolist()
    [True, False, False]
    """
    return (greatest[:, 0] >= LEAST) & (greatest[:, 0] > FACTOR * greatest[:, 1])
