"""Kernels on CSR arrays: validation, selection of rows, transposition."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import threads
from ..errors import MatrixError
from .jit import jit

_REMEDY = "Rebuild the matrix from its source."


@jit
def _scan(start, stop, indptr, indices, n_columns, status):
    """Write the state of each row: 0 = sound, 1 = the columns do not ascend, 2 = a column is out of range.

    The pointers must be valid. There is no early exit, so that the loop is vectorised.
    """
    for row in range(start, stop):
        at = indices[indptr[row] : indptr[row + 1]]
        falls = 0
        for k in range(1, at.size):
            falls += at[k] <= at[k - 1]
        status[row] = falls > 0
        if falls == 0:  # the first and the last column are the extremes
            if at.size and (at[0] < 0 or at[-1] >= n_columns):
                status[row] = 2
        else:
            for k in range(at.size):
                if at[k] < 0 or at[k] >= n_columns:
                    status[row] = 2


def validate(
    indptr: NDArray, indices: NDArray, data: NDArray, n_columns: int, n_rows: int | None = None, *, kind: str = "CSR"
) -> bool:
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
    n_rows : int, optional
        Number of rows of the matrix; not checked by default.
    kind : {"CSR", "CSC"}
        Name of the format for messages. For CSC, rows and columns change places.

    Returns
    -------
    bool
        True if the columns of every row ascend without repetition.

    Raises
    ------
    MatrixError
        If the pointers decrease, do not start at 0, do not end at the number of values or are not one more than the rows, if a
        column is out of range, or if pointers or columns are not whole numbers.

    Examples
    --------
    >>> import numpy as np
    >>> validate(np.array([0, 1]), np.array([2]), np.array([1.0]), 3)
    True
    """
    check_pointers(indptr, indices, data, n_rows, kind=kind)
    pointers = np.ascontiguousarray(indptr, dtype=np.int64)
    status = np.zeros(pointers.size - 1, np.uint8)
    threads.run(_scan, status.size, pointers, np.ascontiguousarray(indices), n_columns, status, work=indices.size)
    worst = status.max(initial=0)
    if worst == 2:
        major, minor = ("row", "column") if kind == "CSR" else ("column", "row")
        row = int(status.argmax())
        raise MatrixError(f"invalid {kind} matrix: {major} {row} has a {minor} outside 0…{n_columns - 1}. {_REMEDY}")
    return bool(worst == 0)


def check_pointers(indptr: NDArray, indices: Any, data: Any, n_rows: int | None = None, *, kind: str = "CSR") -> None:
    """Check the row pointers, and the shapes and dtypes of the other arrays, whose values are not read.

    Parameters
    ----------
    indptr : int array, shape (rows + 1,)
        Row pointers.
    indices, data : array, shape (nnz,)
        Columns and stored values, in memory or on disk.
    n_rows : int, optional
        Number of rows of the matrix; not checked by default.
    kind : {"CSR", "CSC"}
        Name of the format for messages.

    Raises
    ------
    MatrixError
        As :func:`validate`, columns aside.
    """
    if not len(indptr.shape) == len(indices.shape) == len(data.shape) == 1 or indptr.size == 0:
        raise MatrixError(
            f"{kind} arrays need one dimension and at least one row pointer, but indptr, indices and data have the shapes "
            f"{indptr.shape}, {indices.shape} and {data.shape}. {_REMEDY}"
        )
    for name, array in (("indptr", indptr), ("indices", indices)):
        if array.dtype.kind not in "iu":
            raise MatrixError(f"invalid {kind} matrix: {name} has dtype {array.dtype}, but must hold integers. {_REMEDY}")
    major = "rows" if kind == "CSR" else "columns"
    if n_rows is not None and indptr.size != n_rows + 1:
        raise MatrixError(f"invalid {kind} matrix: {indptr.size} pointers for {n_rows} {major}, not {n_rows + 1}. {_REMEDY}")
    if indptr[0] != 0 or indptr[-1] != indices.shape[0] or indices.shape != data.shape:
        raise MatrixError(
            f"invalid {kind} matrix: indptr runs from {indptr[0]} to {indptr[-1]}, but there are {indices.shape[0]} indices and "
            f"{data.shape[0]} values. {_REMEDY}"
        )
    falls = indptr[1:] < indptr[:-1]
    if falls.any():
        raise MatrixError(f"invalid {kind} matrix: indptr decreases at {major[:-1]} {int(falls.argmax())}. {_REMEDY}")


def sound(x: Any) -> bool:
    """Check the arrays of a SciPy sparse matrix of any format before SciPy or a kernel reads them.

    SciPy trusts these arrays: ``tocsr``, ``sum_duplicates`` and others read and write out of bounds if they are invalid.

    Parameters
    ----------
    x : SciPy sparse matrix or array
        The matrix.

    Returns
    -------
    bool
        True if the entries are sorted and none is repeated. The answer is read from the arrays, because the flags that SciPy
        keeps are out of date after a change of the arrays. False for formats other than CSR and CSC.

    Raises
    ------
    MatrixError
        If the arrays contradict each other or the shape.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> sound(sp.csc_matrix(np.eye(3)))
    True
    """
    if len(x.shape) != 2:
        raise MatrixError(f"a matrix needs two dimensions, cells and genes, but has shape {x.shape}. {_REMEDY}")
    if x.format == "csr":
        return validate(x.indptr, x.indices, x.data, x.shape[1], x.shape[0])
    if x.format == "csc":
        return validate(x.indptr, x.indices, x.data, x.shape[0], x.shape[1], kind="CSC")
    if x.format == "bsr":
        height, width = x.blocksize
        validate(x.indptr, x.indices, x.data[:, 0, 0], x.shape[1] // width, x.shape[0] // height)
    elif x.format == "coo":
        for name, at, n in (("row", x.row, x.shape[0]), ("column", x.col, x.shape[1])):
            if at.shape != x.data.shape or at.ndim != 1:
                raise MatrixError(f"invalid COO matrix: {at.shape} {name}s for {x.data.shape} values. {_REMEDY}")
            if at.size and (at.min() < 0 or at.max() >= n):
                raise MatrixError(f"invalid COO matrix: a {name} is outside 0…{n - 1}. {_REMEDY}")
    return False


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
    bits = f"u{data.itemsize}"  # values are only copied, so one compiled kernel per size of the dtype is enough
    arrays = (data.view(bits), out_indptr, out_indices, out_data.view(bits))
    threads.run(_gather, rows.size, rows, indptr, indices, *arrays, work=n)
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
