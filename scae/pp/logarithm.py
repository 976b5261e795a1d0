"""The logarithm of one plus the counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from .. import threads
from ..io.blocks import is_backed
from ._calls import log, only_with_anndata, own, renamed
from ._matrix import get_rep, is_dask, set_rep

_SEGMENT = 1 << 16  # values a call of numpy's: they stay in cache between logarithm and division


@renamed("X", "data")
def log1p(
    data: AnnData | Any,
    *,
    base: float | None = None,
    copy: bool = False,
    chunked: bool | None = None,
    chunk_size: int | None = None,
    layer: str | None = None,
    obsm: str | None = None,
) -> Any:
    """Replace each value x by log(1 + x).

    Drop-in for ``scanpy.pp.log1p``. Integers become float64; ``uns["log1p"]`` records the base.

    Parameters
    ----------
    data
        AnnData, or a sparse, dense or dask matrix.
    base
        Base of the logarithm, the natural one by default.
    copy
        Leave ``data`` as it is and return the result.
    chunked
        Go through ``X`` in chunks of cells: for backed AnnData opened with ``r+``.
    chunk_size
        Cells a chunk.
    layer, obsm
        Layer or entry of ``obsm`` to change in place of ``X``.

    Returns
    -------
    None for AnnData unless ``copy``; else the matrix.

    Raises
    ------
    NotImplementedError
        If the matrix is backed and ``chunked`` is not set, or its file cannot be written.
    TypeError
        If an option of AnnData comes with a bare matrix.

    Examples
    --------
    >>> import numpy as np
    >>> log1p(np.array([[0.0, 1.0, 3.0]]), base=2)
    array([[0., 1., 2.]])
    """
    if not isinstance(data, AnnData):
        only_with_anndata(chunked=chunked, chunk_size=chunk_size, layer=layer, obsm=obsm)
        return logged(data, base=base, copy=copy)
    if "log1p" in data.uns:
        log.warning("adata.X seems to be already log-transformed.")
    adata = data.copy() if copy else data
    own(adata)
    if chunked:
        _chunked(adata, base, chunk_size, layer, obsm)
    else:
        x = get_rep(adata, layer=layer, obsm=obsm)
        if is_backed(x):
            where = " from layers" if layer is not None else " without `chunked=True`"
            raise NotImplementedError(f"log1p is not implemented for matrices of type {type(x)}{where}")
        set_rep(adata, logged(x, base=base, copy=False), layer=layer, obsm=obsm)
    adata.uns["log1p"] = {"base": base}
    return adata if copy else None


def _chunked(adata: AnnData, base: float | None, chunk_size: int | None, layer: str | None, obsm: str | None) -> None:
    if layer is not None or obsm is not None:
        raise NotImplementedError("Currently cannot perform chunked operations on arrays not stored in X.")
    if adata.isbacked and adata.file._filemode != "r+":
        raise NotImplementedError("log1p is not implemented for backed AnnData with backed mode not r+")
    if not adata.isbacked:  # bounded memory is what the kernel offers anyway
        adata.X = logged(adata.X, base=base, copy=False)
        return
    for chunk, start, stop in adata.chunked_X(chunk_size):
        adata.X[start:stop] = logged(chunk, base=base, copy=False)


def logged(x: Any, *, base: float | None, copy: bool) -> Any:
    """log(1 + x) of any matrix, in place where it holds floats and ``copy`` is not asked for."""
    if is_dask(x):
        return x.map_blocks(logged, base=base, copy=True, dtype=np.result_type(x.dtype, np.float32), meta=x._meta.astype(float))
    if sparse.issparse(x):
        if x.format not in ("csr", "csc"):
            x, copy = x.tocsr(), False
        if copy or x.dtype not in (np.float32, np.float64):
            x = x.astype(x.dtype if x.dtype in (np.float32, np.float64) else np.float64, copy=True)
        x.data = logged(x.data, base=base, copy=False)
        return x
    x = np.asanyarray(x)
    if not np.issubdtype(x.dtype, np.inexact):
        x = x.astype(float)
    elif copy or not x.flags.writeable:
        x = x.copy()
    _in_place(x, base)
    return x


def _in_place(x: NDArray, base: float | None) -> None:
    if not (x.flags.c_contiguous or x.flags.f_contiguous):
        _segment(x, base)
        return
    flat = x.reshape(-1, order="A")

    def work(start: int, stop: int) -> None:
        for a in range(start, stop, _SEGMENT):
            _segment(flat[a : min(a + _SEGMENT, stop)], base)

    threads.run(work, flat.size)


def _segment(x: NDArray, base: float | None) -> None:
    np.log1p(x, out=x)
    if base is not None:
        np.divide(x, np.log(base), out=x)
