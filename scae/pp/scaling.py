"""Genes brought to unit variance and zero mean."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from .. import threads
from ..io.blocks import is_backed
from ..kernels import sums
from ..kernels.reshape import divide_columns, standardise
from ..kernels.rows import Rows
from ._calls import check_mask, log, old_positionals, only_with_anndata, own, renamed
from ._matrix import each_block, get_rep, is_csr, is_dask, set_rep, stacked
from ._moments import Groups, group_sums, mean_var


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
    """Divide each gene by its standard deviation, by default after taking off its mean.

    Drop-in for ``scanpy.pp.scale``. Genes that do not vary are not divided. Zero-centring a sparse matrix makes it dense.

    Parameters
    ----------
    data
        AnnData, or a sparse, dense or dask matrix. Integers become float64.
    zero_center
        Take off the mean.
    max_value
        Largest value afterwards, and with ``zero_center`` largest absolute value.
    copy
        Leave ``data`` as it is and return the result.
    layer, obsm
        Layer or entry of ``obsm`` to change in place of ``X``.
    mask_obs
        Cells, ``(cells,)`` bool or the name of such a column of ``obs``, that give the moments and that are scaled.

    Returns
    -------
    None for AnnData unless ``copy``; else the matrix. AnnData gets ``var["mean"]`` and ``var["std"]`` (float64), with a
    mask ``"mean of <column>"`` or ``"mean with mask"``.

    Raises
    ------
    ValueError
        If the mask does not fit or is not boolean.
    NotImplementedError
        If the matrix is backed.

    Examples
    --------
    >>> import numpy as np
    >>> scale(np.array([[1.0, 2], [3, 2]])).round(3)
    array([[-0.707,  0.   ],
           [ 0.707,  0.   ]])
    """
    if not isinstance(data, AnnData):
        only_with_anndata(layer=layer, obsm=obsm)
        mask = check_mask(data, mask_obs)
        return scaled(data, zero_center=zero_center, max_value=max_value, mask=mask, copy=copy)[0]
    adata = data.copy() if copy else data
    suffix = "" if mask_obs is None else f" of {mask_obs}" if isinstance(mask_obs, str) else " with mask"
    mask = check_mask(adata, mask_obs)
    own(adata)
    x = get_rep(adata, layer=layer, obsm=obsm)
    if is_backed(x):
        raise NotImplementedError(f"scale is not implemented for matrices of type {type(x)}")
    x, adata.var[f"mean{suffix}"], adata.var[f"std{suffix}"] = scaled(
        x, zero_center=zero_center, max_value=max_value, mask=mask, copy=False
    )
    set_rep(adata, x, layer=layer, obsm=obsm)
    return adata if copy else None


def scaled(
    x: Any, *, zero_center: bool, max_value: float | None, mask: NDArray[np.bool_] | None, copy: bool
) -> tuple[Any, NDArray[np.float64], NDArray[np.float64]]:
    """The scaled matrix (the same object where it could be changed in place), the means and the deviations."""
    if not zero_center and max_value is not None:
        log.info("... be careful when using `max_value` without `zero_center`.")
    if not np.issubdtype(x.dtype, np.floating):
        x, copy = x.astype(np.float64), False
    if zero_center and (sparse.issparse(x) or (is_dask(x) and sparse.issparse(x._meta))):
        warnings.warn("zero-centering a sparse array/matrix densifies it.", UserWarning, stacklevel=4)
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
    import dask.array as da

    rows = x.rechunk({1: -1})
    kept = np.ones(x.shape[0], bool) if mask is None else mask
    masks = da.from_array(kept[:, None], chunks=(rows.chunks[0], 1))

    def block(part: Any, which: NDArray) -> Any:
        return _apply(part.copy(), mean, std, limit, zero_center, None if mask is None else which.ravel())

    meta = np.empty((0, 0)) if zero_center and mask is None else x._meta
    return da.map_blocks(block, rows, masks, dtype=x.dtype, meta=meta, chunks=rows.chunks)


def _apply(x: Any, mean: NDArray, std: NDArray, limit: float, zero_center: bool, mask: NDArray[np.bool_] | None) -> Any:
    """Scale a matrix in memory, in place where its type and format allow."""
    if sparse.issparse(x) and zero_center:
        if mask is None:
            return stacked(each_block(x, lambda block, _: _centred(block, mean, std, limit)))
        x[mask] = _apply(x[mask], mean, std, limit, True, None)  # scanpy keeps the format here
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
    sums.rows(block)  # looks at the columns
    return standardise(block, mean, std, limit)


def _dense(x: NDArray, mean: NDArray, std: NDArray, limit: float, zero_center: bool, mask: NDArray[np.bool_] | None) -> None:
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
