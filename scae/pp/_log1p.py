"""Log-transform counts: log(1 + x)."""

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from .. import threads
from ..io.blocks import is_backed
from ._calls import copy_if_view, log, refuse_without_anndata, renamed
from ._matrix import get_rep, is_dask, set_rep

_SEGMENT = 1 << 16  # values per NumPy call, few enough to stay in cache between logarithm and division


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

    Drop-in replacement for ``scanpy.pp.log1p``. Integers become float64. ``uns["log1p"]["base"]`` records the base.

    Parameters
    ----------
    data : AnnData, or a sparse, dense or dask matrix
        Values to transform, above −1.
    base : float, optional
        Base of the logarithm; natural logarithm by default.
    copy : bool
        Leave ``data`` unchanged and return the result.
    chunked : bool
        Process ``X`` in chunks of cells. This is needed for a backed AnnData, which must be opened with mode ``r+``.
    chunk_size : int, optional
        Number of cells per chunk; anndata's default if not given.
    layer, obsm : str, optional
        Layer or entry of ``obsm`` to transform; ``X`` by default.

    Returns
    -------
    None, AnnData or matrix
        For AnnData, None, or the transformed copy with ``copy=True``. For a bare matrix, the transformed matrix.

    Raises
    ------
    NotImplementedError
        If the matrix is backed and ``chunked`` is not set, or the file is not opened with mode ``r+``; also if ``chunked`` is
        combined with ``layer`` or ``obsm``.
    MissingKeyError
        If there is no such layer or entry of ``obsm``.
    TypeError
        If an option that needs AnnData is given with a bare matrix.

    Examples
    --------
    >>> import numpy as np
    >>> log1p(np.array([[0.0, 1.0, 3.0]]), base=2)
    array([[0., 1., 2.]])
    """
    if not isinstance(data, AnnData):
        refuse_without_anndata(chunked=chunked, chunk_size=chunk_size, layer=layer, obsm=obsm)
        return logged(data, base=base, copy=copy)
    if "log1p" in data.uns:
        log.warning("adata.X seems to be already log-transformed.")
    adata = data.copy() if copy else data
    copy_if_view(adata)
    if chunked:
        _chunked(adata, base, chunk_size, layer, obsm)
    else:
        x = get_rep(adata, layer=layer, obsm=obsm)
        if is_backed(x):
            remedy = "Load the layer first." if layer is not None else "Use `chunked=True`, or load the matrix first."
            raise NotImplementedError(f"log1p cannot transform a backed matrix ({type(x)}) at once. {remedy}")
        set_rep(adata, logged(x, base=base, copy=False), layer=layer, obsm=obsm)
    adata.uns["log1p"] = {"base": base}
    return adata if copy else None


def _chunked(adata: AnnData, base: float | None, chunk_size: int | None, layer: str | None, obsm: str | None) -> None:
    """Transform ``X`` in chunks of cells."""
    if layer is not None or obsm is not None:
        raise NotImplementedError("chunked=True only works for X. Leave out `layer` and `obsm`, or `chunked`.")
    if adata.isbacked and adata.file._filemode != "r+":
        mode = adata.file._filemode
        raise NotImplementedError(
            f"log1p needs a backed AnnData opened with mode 'r+', but the mode is {mode!r}. Open it with 'r+'."
        )
    if not adata.isbacked:  # in memory, chunks have no advantage: the transform works in place
        adata.X = logged(adata.X, base=base, copy=False)
        return
    for chunk, start, stop in adata.chunked_X(chunk_size):
        adata.X[start:stop] = logged(chunk, base=base, copy=False)


def logged(x: Any, *, base: float | None, copy: bool) -> Any:
    """Return log(1 + x) of any matrix; a float matrix in memory is changed in place unless ``copy`` is true."""
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
    """Transform a float array in place, on several threads if its memory is contiguous."""
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
