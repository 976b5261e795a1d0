"""Kernels that change or write a matrix: division of rows and columns, selection of rows and columns, standardisation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import threads
from .jit import jit
from .rows import Rows, Uncanonical


@jit
def _divide(start, stop, indptr, data, factors):
    """Divide a range of rows."""
    for row in range(start, stop):
        values, factor = data[indptr[row] : indptr[row + 1]], factors[row]
        for k in range(values.size):
            values[k] /= factor


def divide_rows(m: Rows, factors: NDArray) -> None:
    """Divide each row by its factor, in place; ``factors``, ``(rows,)``, has the dtype of the data and no zeros."""
    threads.run(_divide, m.n_rows, m.indptr, m.data, factors, work=m.data.size)


@jit
def _count_kept(start, stop, rows, indptr, indices, target, counts):
    """Count the stored values that stay in each selected row; set ``counts[0]`` to −1 if a column is outside the matrix."""
    n = target.size
    for i in range(start, stop):
        at = indices[indptr[rows[i]] : indptr[rows[i] + 1]]
        kept = 0
        for k in range(at.size):
            c = np.uint64(at[k])
            if c >= np.uint64(n):
                counts[0] = -1
                return
            kept += target[c] >= 0
        counts[i + 1] = kept


@jit
def _keep(start, stop, rows, indptr, indices, data, target, out_indptr, out_indices, out_data):
    """Copy the stored values that stay."""
    for i in range(start, stop):
        a, b = indptr[rows[i]], indptr[rows[i] + 1]
        at, values = indices[a:b], data[a:b]
        position = out_indptr[i]
        for k in range(at.size):
            new = target[np.uint64(at[k])]
            if new >= 0:
                out_indices[position], out_data[position] = new, values[k]
                position += 1


def keep(m: Rows, cells: NDArray[np.bool_] | None, genes: NDArray[np.bool_] | None) -> Rows:
    """Return the rows and columns where the masks are true, like ``X[cells][:, genes]``.

    Parameters
    ----------
    m : Rows
        The matrix.
    cells : bool array, shape (rows,), or None
        Rows to keep; None keeps all.
    genes : bool array, shape (columns,), or None
        Columns to keep; None keeps all.

    Raises
    ------
    Uncanonical
        If a column is outside the matrix and ``genes`` is given.
    """
    rows = np.arange(m.n_rows) if cells is None else np.flatnonzero(cells)
    if genes is None:
        return m.take(rows)
    target = np.where(genes, np.cumsum(genes) - 1, -1).astype(m.indices.dtype)
    indptr = np.zeros(rows.size + 1, np.int64)
    threads.run(_count_kept, rows.size, rows, m.indptr, m.indices, target, indptr, work=m.data.size)
    if indptr[0] < 0:
        raise Uncanonical
    np.cumsum(indptr, out=indptr)
    indices, data = np.empty(indptr[-1], m.indices.dtype), np.empty(indptr[-1], m.data.dtype)
    bits = f"u{data.itemsize}"  # values are only copied, so one compiled kernel per size of the dtype is enough
    arrays = (m.data.view(bits), target, indptr, indices, data.view(bits))
    threads.run(_keep, rows.size, rows, m.indptr, m.indices, *arrays, work=m.data.size)
    return Rows(indptr, indices, data, int(genes.sum()))


@jit
def _divide_columns(start, stop, indptr, indices, data, divisors, mask, limit):
    """Divide the columns in a range of rows."""
    for row in range(start, stop):
        if mask[row]:
            for k in range(indptr[row], indptr[row + 1]):
                data[k] = min(data[k] / divisors[indices[k]], limit)


def divide_columns(m: Rows, divisors: NDArray[np.float64], mask: NDArray[np.bool_], limit: float) -> None:
    """Divide the values of some rows by the divisors of their columns and limit the results, in place.

    Parameters
    ----------
    m : Rows
        The matrix, with floats. The columns must be known to be valid.
    divisors : array, shape (columns,)
        Divisor of each column.
    mask : bool array, shape (rows,)
        Rows to change.
    limit : float
        Larger values are set to ``limit``.
    """
    threads.run(_divide_columns, m.n_rows, m.indptr, m.indices, m.data, divisors, mask, limit, work=m.data.size)


@jit
def _standardise(start, stop, indptr, indices, data, mean, divisors, limit, out):
    """Standardise a range of rows."""
    for row in range(start, stop):
        for c in range(mean.size):
            out[row, c] = max(min(-mean[c] / divisors[c], limit), -limit)
        for k in range(indptr[row], indptr[row + 1]):
            c = indices[k]
            out[row, c] = max(min((data[k] - mean[c]) / divisors[c], limit), -limit)


def standardise(m: Rows, mean: NDArray[np.float64], divisors: NDArray[np.float64], limit: float) -> NDArray[np.float64]:
    """Compute (value − mean) / divisor, clipped to ±``limit``, as a dense matrix.

    Parameters
    ----------
    m : Rows
        The matrix. The columns must be known to be valid.
    mean, divisors : arrays, shape (columns,)
        Mean and divisor of each column.
    limit : float
        Largest absolute value of the result.

    Returns
    -------
    array, shape (rows, columns), float64
    """
    out = np.empty((m.n_rows, m.n_columns))
    threads.run(_standardise, m.n_rows, m.indptr, m.indices, m.data, mean, divisors, limit, out, work=out.size)
    return out
