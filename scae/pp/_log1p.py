"""Log-transform counts: log(1 + x)."""

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from .. import threads
from ..errors import ConfigError
from ..io.blocks import is_backed
from ._arguments import BackedError, backed, need_number, refuse_backed_change
from ._calls import copy_if_view, log, refuse_without_anndata, renamed
from ._matrix import checked, get_rep, is_dask, set_rep, summed
from ._slots import unshared

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

    Drop-in replacement for ``scanpy.pp.log1p``. Integers become float64, and half precision becomes float32.
    ``uns["log1p"]["base"]`` records the base. Unlike in scanpy 1.11, repeated entries of a sparse matrix are summed first, and a
    matrix that shares its memory with another slot of the same AnnData is copied, so that the other slot does not change.

    Parameters
    ----------
    data : AnnData, or a sparse, dense or dask matrix
        Values to transform, above −1.
    base : float, optional
        Base of the logarithm, above 0 and not 1; natural logarithm by default.
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
    ConfigError
        If ``base`` is not allowed, an option that needs AnnData is given with a bare matrix, or ``data`` is neither AnnData nor a
        matrix. The last two are also a ``TypeError``.
    MatrixError
        If the arrays of a sparse matrix contradict each other. Also, as a ``NotImplementedError``, if the matrix is backed and
        ``chunked`` is not set, the file is not opened with mode ``r+``, or ``chunked`` is combined with ``layer`` or ``obsm``.
    MissingKeyError
        If there is no such layer or entry of ``obsm``.

    Examples
    --------
    >>> import numpy as np
    >>> log1p(np.array([[0.0, 1.0, 3.0]]), base=2)
    array([[0., 1., 2.]])
    """
    if base is not None and need_number("base", base, above=0, most=1e300) == 1:
        raise ConfigError("base is 1, and log(1) is 0. Give another number above 0.")
    if not isinstance(data, AnnData):
        refuse_without_anndata(chunked=chunked, chunk_size=chunk_size, layer=layer, obsm=obsm)
        flat = isinstance(data, np.ndarray) and data.ndim == 1 and data.dtype.kind in "biuf"  # scanpy takes vectors, too
        return logged(data if flat else checked(data, "log1p"), base=base, copy=copy)
    _refuse_disk(data, chunked, layer, obsm)
    on_disk = bool(chunked) and data.isbacked  # the only matrix in a file that is transformed there
    get_rep(data, "log1p", layer=layer, obsm=obsm, on_disk=on_disk)
    refuse_backed_change(data, "log1p", whole=copy)
    if "log1p" in data.uns:
        log.warning("adata.X seems to be already log-transformed.")
    adata = data.copy() if copy else data
    copy_if_view(adata)
    x = get_rep(adata, "log1p", layer=layer, obsm=obsm, on_disk=on_disk)
    if is_backed(x):
        for chunk, start, stop in adata.chunked_X(chunk_size):
            adata.X[start:stop] = logged(chunk, base=base, copy=False)
    else:  # in memory, chunks have no advantage: the transform works in place
        x = unshared(adata, x, layer=layer, obsm=obsm)
        set_rep(adata, logged(x, base=base, copy=False), layer=layer, obsm=obsm)
    adata.uns["log1p"] = {"base": base}
    return adata if copy else None


def _refuse_disk(data: AnnData, chunked: bool | None, layer: str | None, obsm: str | None) -> None:
    """Raise :class:`BackedError` unless the matrix is in memory, or can be transformed in its file chunk by chunk."""
    if chunked and (layer is not None or obsm is not None):
        raise BackedError("chunked=True only works for X. Leave out `layer` and `obsm`, or `chunked`.")
    x: Any = data.X if layer is None and obsm is None and data.isbacked and not data.is_view else None
    if not is_backed(x):
        return
    if not chunked:
        raise backed("log1p", f"X is in a file ({type(x).__name__}), which needs chunked=True")
    if data.file._filemode != "r+":
        raise BackedError(f"log1p needs a backed AnnData opened with mode 'r+', but the mode is {data.file._filemode!r}.")
    if not np.issubdtype(x.dtype, np.floating):
        raise backed("log1p", f"the file holds {x.dtype} values, which would cut the logarithms to whole numbers")


def logged(x: Any, *, base: float | None, copy: bool) -> Any:
    """Return log(1 + x) of any matrix; a float matrix in memory is changed in place unless ``copy`` is true."""
    dtype = np.dtype(float) if x.dtype.kind in "biu" else np.result_type(x.dtype, np.float32)  # half precision becomes float32
    if is_dask(x):
        return x.map_blocks(logged, base=base, copy=True, dtype=dtype, meta=x._meta.astype(dtype))
    if sparse.issparse(x):
        new = summed(x)
        if (copy and new is x) or new.dtype != dtype:
            new = new.astype(dtype, copy=True)
        new.data = logged(new.data, base=base, copy=False)
        return new
    x = np.asanyarray(x)
    if copy or x.dtype != dtype or not x.flags.writeable:
        x = x.astype(dtype, copy=True)
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
