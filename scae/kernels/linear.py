"""CSR × dense weight, the one product that lets counts reach the first layer without being densified."""

from __future__ import annotations

from .jit import jit


@jit
def times(start, stop, indptr, column, value, weight, out):
    """``out[start:stop] = X[start:stop] @ weight``; four stored terms at a time, so that ``out`` is read a quarter as often."""
    width = weight.shape[1]
    for row in range(start, stop):
        for h in range(width):
            out[row, h] = 0.0
        k, end = indptr[row], indptr[row + 1]
        while k + 4 <= end:
            a, b, c, d = value[k], value[k + 1], value[k + 2], value[k + 3]
            i, j, m, n = column[k], column[k + 1], column[k + 2], column[k + 3]
            for h in range(width):
                out[row, h] += (a * weight[i, h] + b * weight[j, h]) + (c * weight[m, h] + d * weight[n, h])
            k += 4
        while k < end:
            a, i = value[k], column[k]
            for h in range(width):
                out[row, h] += a * weight[i, h]
            k += 1
