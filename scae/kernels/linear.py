"""CSR × dense weight, the one product that lets counts reach the first layer without being densified."""

from __future__ import annotations

from .jit import jit


@jit
def times(start, stop, indptr, column, value, weight, out):
    """``out[start:stop] = X[start:stop] @ weight``; a row's terms are added in stored order."""
    width = weight.shape[1]
    for row in range(start, stop):
        for h in range(width):
            out[row, h] = 0.0
        for k in range(indptr[row], indptr[row + 1]):
            v, j = value[k], column[k]
            for h in range(width):
                out[row, h] += v * weight[j, h]
