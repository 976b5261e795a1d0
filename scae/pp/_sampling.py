"""Code shared by ``downsample_counts`` and ``thin_counts``."""

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from ..kernels.rows import Rows
from ._arguments import backed
from ._contract import need_counts
from ._matrix import exactly, get_rep, is_dask, summed


def loaded(adata: AnnData, verb: str, layer: str | None) -> Any:
    """Return ``X`` or a layer with repeated entries summed, and check that its values are counts.

    Raises
    ------
    BackedError
        If the matrix is in a file or a dask array.
    CountsError
        If its values are not counts.
    """
    x = get_rep(adata, verb, layer=layer)
    if is_dask(x):
        raise backed(verb, "was given a dask array")
    x = summed(x)
    need_counts(adata, x, layer)
    return x


def pointers_and_values(x: Any) -> tuple[Any, NDArray[np.int64], NDArray[np.float64]]:
    """Return the matrix as CSR or dense, its row pointers ``(rows + 1,)``, and a float64 copy of its stored values."""
    if sparse.issparse(x):
        x = x if x.format == "csr" else x.tocsr()
        return x, Rows.of(x).indptr, x.data.astype(np.float64)
    x = np.asarray(x)
    return x, np.arange(x.shape[0] + 1, dtype=np.int64) * x.shape[1], x.astype(np.float64).reshape(-1)


def with_values(x: Any, values: NDArray[np.float64], like: Any) -> Any:
    """Return the CSR or dense matrix ``x`` with other values, in the format of ``like``, without explicit zeros.

    The dtype is also that of ``like``, unless a count does not fit.
    """
    given, values = values, exactly(values, like.dtype)
    values = values.copy() if values is given else values  # explicit zeros are removed in place
    if not sparse.issparse(x):
        return values.reshape(x.shape)
    new = type(x)((values, x.indices.copy(), x.indptr.copy()), shape=x.shape)
    new.eliminate_zeros()
    return new.asformat(like.format)
