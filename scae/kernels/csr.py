"""Kernels on CSR arrays: validation, selection of rows, transposition."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import threads
from ..errors import MatrixError
from .jit import jit

_REMEDY = "Rebuild the matrix from its source."


@jit
def _first_bad_row(indptr, indices, n_columns):
    """Find the first invalid row; return its number and the kind of fault, or (−1, 0) if all rows are valid.

    Faults: 1 = the pointers decrease or exceed the data, 2 = a column is out of range, 3 = the columns do not ascend.
    """
    for row in range(indptr.size - 1):
        if indptr[row] > indptr[row + 1] or indptr[row] < 0 or indptr[row + 1] > indices.size:
            return row, 1
        before = -1
        for k in range(indptr[row], indptr[row + 1]):
            if indices[k] < 0 or indices[k] >= n_columns:
                return row, 2
            if indices[k] <= before:
                return row, 3
            before = indices[k]
    return -1, 0


def validate(indptr: NDArray, indices: NDArray, data: NDArray, n_columns: int) -> bool:
    """Check that no kernel would read out of bounds, and tell whether the arrays are canonical.

    Parameters
    ----------
    indptr : int array, shape (rows + 1,)
        Row pointers.
    indices : int array, shape (nnz,)
        Column of each stored value.
    data : array, shape (nnz,)
        Stored values.
    n_columns : int
        Number of columns of the matrix.

    Returns
    -------
    bool
        True if the columns of every row ascend without repetition.

    Raises
    ------
    MatrixError
        If the pointers decrease, do not start at 0 or do not end at the number of values, or if a column is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> validate(np.array([0, 1]), np.array([2]), np.array([1.0]), 3)
    True
    """
    if indptr.ndim != 1 or indices.ndim != 1 or data.ndim != 1 or indptr.size == 0:
        raise MatrixError(
            "CSR arrays need one dimension and at least one row pointer, but indptr, indices and data have the shapes "
            f"{indptr.shape}, {indices.shape} and {data.shape}. {_REMEDY}"
        )
    if indptr[0] != 0 or indptr[-1] != indices.size or indices.size != data.size:
        raise MatrixError(
            f"invalid CSR matrix: indptr runs from {indptr[0]} to {indptr[-1]}, but there are {indices.size} indices and "
            f"{data.size} values. Rebuild the matrix, e.g. with scipy.sparse.csr_matrix(X.tocoo())."
        )
    row, fault = _first_bad_row(indptr, indices, n_columns)
    if fault == 1:
        raise MatrixError(f"invalid CSR matrix: indptr decreases or exceeds the data at row {row}. {_REMEDY}")
    if fault == 2:
        raise MatrixError(f"invalid CSR matrix: row {row} has a column outside 0…{n_columns - 1}. {_REMEDY}")
    if fault == 3:  # the search ended at the unsorted row, so the rows after it are not checked yet
        if indices.min() < 0 or indices.max() >= n_columns or (indptr[1:] < indptr[:-1]).any():
            raise MatrixError(f"invalid CSR matrix: a column is outside 0…{n_columns - 1}, or indptr decreases. {_REMEDY}")
        return False
    return True


@jit
def _gather(start, stop, rows, indptr, indices, data, out_indptr, out_indices, out_data):
    for i in range(start, stop):
        source, target = indptr[rows[i]], out_indptr[i]
        for k in range(out_indptr[i + 1] - target):
            out_indices[target + k] = indices[source + k]
            out_data[target + k] = data[source + k]


def gather(
    indptr: NDArray[np.int64], indices: NDArray, data: NDArray, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray, NDArray]:
    """Return the CSR arrays of some rows in the given order, like ``X[rows]``.

    Parameters
    ----------
    indptr : int64 array, shape (all rows + 1,)
        Row pointers.
    indices : int array, shape (nnz,)
        Column of each stored value.
    data : array, shape (nnz,)
        Stored values.
    rows : int64 array, shape (rows,)
        Numbers of the rows to return; a row may occur more than once.

    Returns
    -------
    tuple of three arrays
        Row pointers, columns and values of the selected rows.

    Examples
    --------
    >>> import numpy as np
    >>> gather(np.array([0, 1, 2]), np.array([0, 1]), np.array([5.0, 7.0]), np.array([1]))
    (array([0, 1]), array([1]), array([7.]))
    """
    out_indptr = np.zeros(rows.size + 1, np.int64)
    np.cumsum(indptr[rows + 1] - indptr[rows], out=out_indptr[1:])
    n = int(out_indptr[-1])
    out_indices, out_data = np.empty(n, indices.dtype), np.empty(n, data.dtype)
    threads.run(_gather, rows.size, rows, indptr, indices, data, out_indptr, out_indices, out_data, work=n)
    return out_indptr, out_indices, out_data


@jit
def transpose(indptr, indices, data, n_columns):
    """Convert CSR arrays to CSC arrays.

    Parameters
    ----------
    indptr, indices, data : arrays
        CSR arrays.
    n_columns : int
        Number of columns.

    Returns
    -------
    tuple of three arrays
        Column pointers ``(columns + 1,)``, and row and value of each entry, ``(nnz,)``; rows ascend within a column.
    """
    pointers = np.zeros(n_columns + 1, np.int64)
    for k in range(indices.size):
        pointers[indices[k] + 1] += 1
    for j in range(n_columns):
        pointers[j + 1] += pointers[j]
    fill = pointers[:-1].copy()
    rows, values = np.empty(indices.size, np.int64), np.empty(indices.size, data.dtype)
    for row in range(indptr.size - 1):
        for k in range(indptr[row], indptr[row + 1]):
            at = fill[indices[k]]
            rows[at], values[at] = row, data[k]
            fill[indices[k]] += 1
    return pointers, rows, values
