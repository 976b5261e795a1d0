"""Scale each gene to unit variance, and by default to zero mean."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from .. import threads
from ..kernels import sums
from ..kernels.reshape import divide_columns, standardise
from ..kernels.rows import Rows
from ._arguments import need_number, refuse_backed_change
from ._calls import check_mask, copy_if_view, log, old_positionals, refuse_without_anndata, renamed
from ._matrix import checked, each_block, get_rep, is_csr, is_dask, set_rep, stacked, summed
from ._moments import Groups, group_sums, mean_var
from ._slots import unshared


@renamed("X", "data")
@old_positionals("zero_center", "max_value", "copy", "layer", "obsm")
def scale(
    data: AnnData | Any,
    *,
    zero_center: bool = True,
    max_value: float | None = None,
    copy: bool = False,
    layer: str | None = None,
    obsm: str | None = None,
    mask_obs: NDArray[np.bool_] | str | None = None,
) -> Any:
    """Scale each gene to unit variance, and by default to zero mean.

    Drop-in replacement for ``scanpy.pp.scale``. Genes with zero variance are not divided. Subtracting the mean turns a sparse
    matrix into a dense one. Integers become float64, and half precision becomes float32. Unlike in scanpy 1.11, rounding noise in
    the variance of a constant gene is taken for zero, repeated entries of a sparse matrix are summed first, and a matrix that
    shares its memory with another slot of the same AnnData is copied, so that the other slot does not change.

    Parameters
    ----------
    data : AnnData, or a sparse, dense or dask matrix
        Cells × genes.
    zero_center : bool
        Subtract the mean of each gene before dividing by its standard deviation.
    max_value : float, optional
        Number above 0. Larger values are set to it after scaling. With ``zero_center``, values below ``-max_value`` are also set
        to ``-max_value``.
    copy : bool
        Leave ``data`` unchanged and return the result.
    layer, obsm : str, optional
        Layer or entry of ``obsm`` to scale; ``X`` by default.
    mask_obs : bool array of shape (cells,), or str
        The cells to use, or the name of a boolean column of ``obs`` that marks them; 0 and 1 are read as booleans. Means and
        standard deviations are computed from these cells, and only these cells are scaled. All cells by default.

    Returns
    -------
    None, AnnData or matrix
        For AnnData, None, or the scaled copy with ``copy=True``. For a bare matrix, the scaled matrix. In AnnData, the means and
        standard deviations of the genes are written to ``var["mean"]`` and ``var["std"]``, float64; with a mask, to
        ``var["mean of <column>"]`` or ``var["mean with mask"]``, and likewise for ``std``.

    Raises
    ------
    ConfigError
        If the mask is not boolean, has the wrong length, selects no cell or names a column that does not exist, or if
        ``max_value`` is not above 0. Also, as a ``TypeError``, if ``layer`` or ``obsm`` is given with a bare matrix, or ``data``
        is neither AnnData nor a matrix.
    MissingKeyError
        If there is no such layer or entry of ``obsm``.
    MatrixError
        If the arrays of a sparse matrix contradict each other, or the matrix is backed (then also a ``NotImplementedError``).

    Examples
    --------
    >>> import numpy as np
    >>> scale(np.array([[1.0, 2], [3, 2]])).round(3)
    array([[-0.707,  0.   ],
           [ 0.707,  0.   ]])
    """
    if max_value is not None:
        need_number("max_value", max_value, above=0)
    if not isinstance(data, AnnData):
        refuse_without_anndata(layer=layer, obsm=obsm)
        checked(data, "scale")
        mask = check_mask(data, mask_obs)
        return scaled(data, zero_center=zero_center, max_value=max_value, mask=mask, copy=copy)[0]
    get_rep(data, "scale", layer=layer, obsm=obsm)
    mask = check_mask(data, mask_obs)
    refuse_backed_change(data, "scale", whole=copy)
    adata = data.copy() if copy else data
    suffix = "" if mask_obs is None else f" of {mask_obs}" if isinstance(mask_obs, str) else " with mask"
    copy_if_view(adata)
    x = unshared(adata, get_rep(adata, "scale", layer=layer, obsm=obsm), layer=layer, obsm=obsm)
    x, adata.var[f"mean{suffix}"], adata.var[f"std{suffix}"] = scaled(
        x, zero_center=zero_center, max_value=max_value, mask=mask, copy=False
    )
    set_rep(adata, x, layer=layer, obsm=obsm)
    return adata if copy else None


def scaled(
    x: Any, *, zero_center: bool, max_value: float | None, mask: NDArray[np.bool_] | None, copy: bool
) -> tuple[Any, NDArray[np.float64], NDArray[np.float64]]:
    """Scale any matrix; in place if it is in memory, holds floats, keeps its format, and ``copy`` is false.

    Returns
    -------
    matrix, array, array
        The scaled matrix, and the mean and standard deviation of each gene, ``(genes,)``; the latter is 1 for constant genes.
    """
    if not zero_center and max_value is not None:
        log.info("max_value without zero_center only limits large values, not values far below the mean.")
    given, x = x, summed(x)
    if x.dtype == np.float16 or not np.issubdtype(x.dtype, np.floating):
        x = x.astype(np.float32 if x.dtype == np.float16 else np.float64)
    elif not sparse.issparse(x) and not is_dask(x):
        copy = copy or not x.flags.writeable
    copy = copy and x is given
    if zero_center and (sparse.issparse(x) or (is_dask(x) and sparse.issparse(x._meta))):
        warnings.warn(
            "Subtracting the mean of a sparse matrix densifies it. Use zero_center=False to keep it sparse.",
            UserWarning,
            stacklevel=4,
        )
    groups = Groups.of(None, x.shape[0])
    if mask is not None:
        groups = Groups(np.where(mask, 0, -1), np.array([int(mask.sum())]))
    mean, var = mean_var(group_sums(x, groups, sums.SQUARES).sums[0], int(groups.sizes[0]))
    std = np.sqrt(var)
    std[std == 0] = 1
    limit = np.inf if max_value is None else float(max_value)
    if is_dask(x):
        return _lazily(x, mean, std, limit, zero_center, mask), mean, std
    return _apply(x.copy() if copy else x, mean, std, limit, zero_center, mask), mean, std


def _lazily(x: Any, mean: NDArray, std: NDArray, limit: float, zero_center: bool, mask: NDArray[np.bool_] | None) -> Any:
    """Scale a dask array block by block, when it is computed."""
    import dask.array as da

    rows = x.rechunk({1: -1})
    kept = np.ones(x.shape[0], bool) if mask is None else mask
    masks = da.from_array(kept[:, None], chunks=(rows.chunks[0], 1))

    def block(part: Any, which: NDArray) -> Any:
        return _apply(summed(part).copy(), mean, std, limit, zero_center, None if mask is None else which.ravel())

    meta = np.empty((0, 0)) if zero_center and mask is None else x._meta
    return da.map_blocks(block, rows, masks, dtype=x.dtype, meta=meta, chunks=rows.chunks)


def _apply(x: Any, mean: NDArray, std: NDArray, limit: float, zero_center: bool, mask: NDArray[np.bool_] | None) -> Any:
    """Scale a float matrix in memory, in place if its format allows."""
    if sparse.issparse(x) and zero_center:
        if mask is None:
            return stacked(each_block(x, lambda block, _: _centred(block, mean, std, limit)))
        x[mask] = _apply(x[mask], mean, std, limit, True, None)  # with a mask, scanpy keeps the sparse format
        return x
    if sparse.issparse(x):
        if x.format == "csc" and mask is None:
            x.data = np.minimum(x.data / np.repeat(std, np.diff(x.indptr)), limit)  # float64, as in scanpy
            return x
        x = x if is_csr(x) else x.tocsr()
        divide_columns(Rows.of(x), std, np.ones(x.shape[0], bool) if mask is None else mask, limit)
        return x
    _dense(np.asarray(x), mean, std, limit, zero_center, mask)
    return x


def _centred(block: Rows, mean: NDArray, std: NDArray, limit: float) -> NDArray[np.float64]:
    """Return the dense standardised block."""
    sums.rows(block)  # checks the column numbers, which `standardise` does not
    return standardise(block, mean, std, limit)


def _dense(x: NDArray, mean: NDArray, std: NDArray, limit: float, zero_center: bool, mask: NDArray[np.bool_] | None) -> None:
    """Scale a dense array in place, 64 rows at a time so that they stay in cache."""

    def work(start: int, stop: int) -> None:
        for a in range(start, stop, 64):
            rows = slice(a, min(a + 64, stop))
            part = x[rows] if mask is None else x[rows][mask[rows]]
            if zero_center:
                part -= mean
            part /= std
            if limit < np.inf:
                np.clip(part, -limit if zero_center else None, limit, out=part)
            if mask is not None:
                x[rows][mask[rows]] = part

    threads.run(work, x.shape[0], work=x.size)
