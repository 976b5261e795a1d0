"""CSR arrays in, CSR arrays out: validation, row gather, transpose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import threads
from ..errors import MatrixError
from .jit import jit

_MEND = "Rebuild the matrix from its source."


@jit
def _first_bad_row(indptr, indices, n_columns):
    """(row, fault): 1 = pointers fall, 2 = column out of range, 3 = columns not ascending; (-1, 0) when sound."""
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
    """Raise where CSR arrays would make a kernel read out of bounds; say whether they are canonical.

    Parameters
    ----------
    indptr
        Row pointers, ``(rows + 1,)``, any integer type.
    indices
        Column of each stored value, ``(nnz,)``, any integer type.
    data
        Stored values, ``(nnz,)``.
    n_columns
        The number of columns that ``indices`` may name.

    Returns
    -------
    bool
        True if every row's columns ascend without repetition.

    Raises
    ------
    MatrixError
        If pointers fall, start elsewhere than at 0 or run past the data, or a column is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> validate(np.array([0, 1]), np.array([2]), np.array([1.0]), 3)
    True
    """
    if indptr.ndim != 1 or indices.ndim != 1 or data.ndim != 1 or indptr.size == 0:
        raise MatrixError(f"CSR arrays must have one dimension, given {indptr.ndim}, {indices.ndim} and {data.ndim}. {_MEND}")
    if indptr[0] != 0 or indptr[-1] != indices.size or indices.size != data.size:
        raise MatrixError(
            f"invalid CSR matrix: indptr runs from {indptr[0]} to {indptr[-1]} over {indices.size} indices and "
            f"{data.size} values. Rebuild the matrix, e.g. with scipy.sparse.csr_matrix(X.tocoo())."
        )
    row, fault = _first_bad_row(indptr, indices, n_columns)
    if fault == 1:
        raise MatrixError(f"invalid CSR matrix: indptr falls or leaves the data at row {row}. {_MEND}")
    if fault == 2:
        raise MatrixError(f"invalid CSR matrix: row {row} has a column outside 0…{n_columns - 1}. {_MEND}")
    if fault == 3:  # unsorted rows hide later faults from the one pass above
        if indices.min() < 0 or indices.max() >= n_columns or (indptr[1:] < indptr[:-1]).any():
            raise MatrixError(f"invalid CSR matrix: a column lies outside 0…{n_columns - 1}, or indptr falls. {_MEND}")
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
    """The CSR arrays of some rows, in the order asked for; equal to ``X[rows]``.

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
    """CSR → CSC by counting: column pointers, the row of each entry, its value; rows ascend within a column."""
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
