"""Total counts and numbers of positive values of the rows or the columns of any matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels import sums
from ._matrix import added, each_block, is_dask, stacked


def totals(x: Any, axis: int, by_counts: bool, dtype: np.dtype) -> Any:
    """Return the sum, or the number of positive values, of each row or column; lazy for a dask array.

    Parameters
    ----------
    x : matrix
        Cells × genes; in memory, dask or backed.
    axis : int
        0 for one result per row (cell), 1 for one result per column (gene).
    by_counts : bool
        True for the sum of the values, False for the number of positive values.
    dtype : numpy dtype
        Type of the result.

    Returns
    -------
    array, shape (rows,) or (columns,)
    """
    if is_dask(x):
        import dask
        import dask.array as da

        lazy_totals = dask.delayed(totals)
        blocks = x.rechunk({1: -1})
        parts = [lazy_totals(block, axis, by_counts, dtype) for block in blocks.to_delayed().ravel()]
        lengths = blocks.chunks[0] if axis == 0 else (x.shape[1],) * len(parts)
        arrays = [da.from_delayed(p, (n,), dtype=dtype) for p, n in zip(parts, lengths, strict=True)]
        return da.concatenate(arrays) if axis == 0 else da.stack(arrays).sum(axis=0)
    if axis == 0:
        return stacked(each_block(x, lambda block, _: sums.rows(block)[:, 0 if by_counts else 1])).astype(dtype)
    if by_counts:
        return added(each_block(x, lambda block, _: sums.columns(block, sums.POSITIVE)[0][:, 0])).astype(dtype)
    return added(each_block(x, lambda block, _: sums.detected(block))).astype(dtype)
