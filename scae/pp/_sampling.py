"""Code shared by ``downsample_counts`` and ``thin_counts``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ..io.blocks import is_backed
from ..kernels.rows import Rows
from ._matrix import is_dask


def check_in_memory(x: Any, verb: str) -> None:
    """Raise ``NotImplementedError`` for a backed matrix and for a dask array."""
    if is_backed(x) or is_dask(x):
        raise NotImplementedError(f"{verb} needs a matrix in memory, but was given {type(x)}. Load the matrix first.")


def pointers_and_values(x: Any) -> tuple[Any, NDArray[np.int64], NDArray[np.float64]]:
    """Return the matrix as CSR or dense, its row pointers ``(rows + 1,)``, and a float64 copy of its stored values."""
    if sparse.issparse(x):
        x = x if x.format == "csr" else x.tocsr()
        return x, Rows.of(x).indptr, x.data.astype(np.float64)
    x = np.asarray(x)
    return x, np.arange(x.shape[0] + 1, dtype=np.int64) * x.shape[1], x.astype(np.float64).reshape(-1)


def with_values(x: Any, values: NDArray[np.float64], like: Any) -> Any:
    """Return the CSR or dense matrix ``x`` with other values, in the format and dtype of ``like``, without explicit zeros."""
    values = values.astype(like.dtype)
    if not sparse.issparse(x):
        return values.reshape(x.shape)
    new = type(x)((values, x.indices.copy(), x.indptr.copy()), shape=x.shape)
    new.eliminate_zeros()
    return new.asformat(like.format)
