"""Product of a CSR matrix and a dense weight matrix, for the first layer of a network on sparse counts."""

from __future__ import annotations

from .jit import jit


@jit
def times(start, stop, indptr, column, value, weight, out):
    """Compute ``out[start:stop] = X[start:stop] @ weight``.

    Four stored values are processed at a time, because ``out`` is then read and written a quarter as often.

    Parameters
    ----------
    start, stop : int
        Range of rows.
    indptr, column, value : arrays
        CSR arrays of X.
    weight : array, shape (columns, width)
        Dense matrix.
    out : array, shape (rows, width)
        Result.
    """
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
