"""Read count matrices on disk (h5ad or zarr, sparse or dense) in blocks of rows, in bounded memory."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from ..kernels import csr

BLOCK_BYTES = 64 << 20  # values and columns of one block


def is_backed(x: object) -> bool:
    """Tell whether the matrix is in a file: an h5py or zarr array, or a sparse dataset of anndata."""
    if isinstance(x, h5py.Dataset):
        return True
    kind = type(x)
    zarr = sys.modules.get("zarr")
    by_anndata = kind.__module__.startswith("anndata") and "Dataset" in kind.__name__
    return by_anndata or (zarr is not None and isinstance(x, zarr.Array))


def row_cuts(x: Any, block_bytes: int = BLOCK_BYTES) -> list[int]:
    """Divide the rows into blocks of bounded size.

    Parameters
    ----------
    x : matrix on disk
        Dense array, or CSR dataset of anndata.
    block_bytes : int
        Largest size of a block in bytes. A row that is larger is a block by itself.

    Returns
    -------
    list of int
        First row of each block, and the number of rows at the end.

    Raises
    ------
    MatrixError
        If the row pointers are invalid.
    """
    n, columns = x.shape
    if isinstance(x, h5py.Dataset) or not hasattr(x, "format"):
        step = max(1, block_bytes // max(1, columns * x.dtype.itemsize))
        return [*range(0, n, step), n]
    pointers = x.group["indptr"][:]
    csr.check_pointers(pointers, x.group["indices"], x.group["data"], n)
    indptr = np.asarray(pointers, np.int64)
    values_per_block = max(1, block_bytes // (x.dtype.itemsize + x.group["indices"].dtype.itemsize))
    cuts = [0]
    while cuts[-1] < n:
        stop = int(np.searchsorted(indptr, indptr[cuts[-1]] + values_per_block, side="right")) - 1
        cuts.append(min(max(stop, cuts[-1] + 1), n))
    return cuts


def row_blocks(x: Any, block_bytes: int = BLOCK_BYTES) -> Iterator[Any]:
    """Yield the rows of a matrix on disk as blocks in memory; see :func:`row_cuts` for the size of a block.

    A CSC matrix is read as a whole, because its rows are scattered over the file.

    Raises
    ------
    MatrixError
        If the pointers of a sparse matrix are invalid, or the rows of a CSC matrix are.
    """
    if getattr(x, "format", None) == "csc":
        group = x.group
        csr.check_pointers(group["indptr"][:], group["indices"], group["data"], x.shape[1], kind="CSC")
        whole = x.to_memory()
        csr.sound(whole)
        yield whole
        return
    cuts = row_cuts(x, block_bytes)
    for start, stop in itertools.pairwise(cuts):
        yield x[start:stop]
