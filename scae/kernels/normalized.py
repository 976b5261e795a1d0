"""Normalisation of the stored counts of each cell in float32, in one pass over the cell."""

from __future__ import annotations

import numpy as np

from .jit import jit
from .links import total_of
from .vector import greatest, log1p

_ONE, _LEAST = np.float32(1.0), np.float32(1e-12)


@jit
def normalized(start, stop, indptr, value, target, log, unit_max, out):
    """Write the normalised counts of each cell to ``out``.

    Parameters
    ----------
    start, stop : int
        Range of cells.
    indptr, value : arrays
        Row pointers and stored counts, float32, at least 0.
    target : float
        Total to which each cell is scaled; 0 to scale none.
    log : bool
        Apply log(1 + x).
    unit_max : bool
        Divide the values of each cell by their largest.
    out : array, shape (nnz,)
        Result.
    """
    for row in range(start, stop):
        x, y = value[indptr[row] : indptr[row + 1]], out[indptr[row] : indptr[row + 1]]
        if x.size == 0:
            continue
        factor = np.float32(target) / max(total_of(x), _LEAST) if target > 0 else _ONE
        if log:
            for k in range(x.size):
                scaled = x[k] * factor
                y[k] = log1p(scaled, _ONE / (_ONE + scaled))
        else:
            for k in range(x.size):
                y[k] = x[k] * factor
        if unit_max:
            largest = max(greatest(y), _LEAST)
            for k in range(y.size):
                y[k] /= largest
