"""Count matrices on disk, rows by rows: backed h5ad and zarr, sparse or dense, in bounded memory."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

BLOCK_BYTES = 64 << 20  # a block's values and columns together


def is_backed(x: object) -> bool:
    """Whether the matrix lies in a file: an h5py or zarr array, or anndata's sparse dataset."""
    if isinstance(x, h5py.Dataset):
        return True
    kind = type(x)
    zarr = sys.modules.get("zarr")
    by_anndata = kind.__module__.startswith("anndata") and "Dataset" in kind.__name__
    return by_anndata or (zarr is not None and isinstance(x, zarr.Array))


def row_cuts(x: Any, block_bytes: int = BLOCK_BYTES) -> list[int]:
    """Where to cut the rows so that a block takes at most so many bytes, or one row."""
    n, columns = x.shape
    if isinstance(x, h5py.Dataset) or not hasattr(x, "format"):
        step = max(1, block_bytes // max(1, columns * x.dtype.itemsize))
        return [*range(0, n, step), n]
    indptr = np.asarray(x.group["indptr"][:], np.int64)
    each = max(1, block_bytes // (x.dtype.itemsize + x.group["indices"].dtype.itemsize))
    cuts = [0]
    while cuts[-1] < n:
        upto = int(np.searchsorted(indptr, indptr[cuts[-1]] + each, side="right")) - 1
        cuts.append(min(max(upto, cuts[-1] + 1), n))
    return cuts


def row_blocks(x: Any, block_bytes: int = BLOCK_BYTES) -> Iterator[Any]:
    """The rows of a matrix on disk, block by block, in memory.

    A CSC matrix on disk is read as a whole: its rows are scattered over the file.
    """
    if getattr(x, "format", None) == "csc":
        yield x.to_memory()
        return
    cuts = row_cuts(x, block_bytes)
    for start, stop in itertools.pairwise(cuts):
        yield x[start:stop]
