"""Downsample the counts of each cell, or of the whole matrix."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from ..errors import ConfigError
from ..kernels import sampling, sums
from ..kernels.counts import are_counts
from ._arguments import is_whole, need_anndata, need_seed, need_whole, refuse_backed_change
from ._calls import copy_if_view, renamed
from ._matrix import each_block, set_rep, stacked
from ._sampling import loaded, pointers_and_values, with_values


@renamed("target_counts", "counts_per_cell")
def downsample_counts(
    adata: AnnData,
    counts_per_cell: int | Collection[int] | None = None,
    total_counts: int | None = None,
    *,
    random_state: int = 0,
    replace: bool = False,
    copy: bool = False,
    layer: str | None = None,
) -> AnnData | None:
    """Randomly downsample the counts of each cell, or of the whole matrix, to a given total.

    Drop-in replacement for ``scanpy.pp.downsample_counts``. The cells are drawn independently, from one seeded stream. In scanpy
    1.11, every cell starts from the same seed, so identical cells stay identical. For a single cell, and with ``total_counts``,
    the same seed draws the same counts as in scanpy. The exception is a cell with more than 2²⁴ counts, sampled without
    replacement: here its counts are drawn gene by gene from the hypergeometric distribution, which takes the same memory for any
    number of counts. If a drawn count does not fit the dtype, e.g. uint8, the result has a wider dtype; in scanpy it wraps round.

    Parameters
    ----------
    adata : AnnData
        Cells × genes, counts in memory.
    counts_per_cell : int or sequence of int
        Total count of each cell afterwards, at least 0: one number for all cells, or one number per cell. Cells with fewer counts
        are not changed.
    total_counts : int
        Total count of the whole matrix afterwards. Give either this or ``counts_per_cell``.
    random_state : int
        Seed, from 0 to 2³² − 1.
    replace : bool
        Sample with replacement.
    copy : bool
        Work on a copy of ``adata`` and return it.
    layer : str, optional
        Layer to change; ``X`` by default.

    Returns
    -------
    None or AnnData
        The downsampled copy with ``copy=True``.

    Raises
    ------
    ConfigError
        If both or neither of ``counts_per_cell`` and ``total_counts`` are given, if they are not whole numbers of at least 0, if
        the number of targets is not the number of cells, or if ``random_state`` is not allowed.
    CountsError
        If a value is not a count.
    MissingKeyError
        If there is no such layer.
    MatrixError
        If the arrays of a sparse matrix contradict each other. Also, as a ``NotImplementedError``, if the matrix is backed or a
        dask array.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> adata = anndata.AnnData(np.array([[5.0, 5], [1, 0]], "float32"))
    >>> downsample_counts(adata, 4)
    >>> adata.X.sum(axis=1).tolist()
    [4.0, 1.0]
    """
    need_anndata(adata, "downsample_counts")
    if (total_counts is None) is (counts_per_cell is None):
        number = "Neither" if total_counts is None else "Both"
        raise ConfigError(f"{number} of `total_counts` and `counts_per_cell` were given. Give exactly one of them.")
    seed = need_seed(random_state, 32)
    if total_counts is not None:
        targets = np.array([need_whole("total_counts", total_counts, 0)], np.int64)
    else:
        targets = _targets(counts_per_cell, adata.n_obs)
    source = loaded(adata, "downsample_counts", layer)
    refuse_backed_change(adata, "downsample_counts", whole=copy)
    x, indptr, values = pointers_and_values(source)
    if total_counts is not None:
        indptr = np.array([0, values.size], np.int64)
        chosen = np.array([values.sum() >= targets[0] and values.size > 0])
    else:
        chosen = stacked(each_block(source, lambda block, _: sums.rows(block)[:, 0])) > targets
    adata = adata.copy() if copy else adata
    copy_if_view(adata)
    sampling.downsample(indptr, values, targets, chosen, seed=seed, replace=replace)
    set_rep(adata, with_values(x, values, source), layer=layer)
    return adata if copy else None


def _targets(counts_per_cell: Any, n_cells: int) -> NDArray[np.int64]:
    """Return the target count of each cell, ``(cells,)``."""
    if is_whole(counts_per_cell):
        counts_per_cell = np.full(n_cells, counts_per_cell)
    targets = np.asarray(counts_per_cell)
    if targets.shape != (n_cells,):
        raise ConfigError(
            f"`counts_per_cell` has shape {targets.shape} for {n_cells} cells. Give one whole number for all cells, or a list or "
            "array with one whole number per cell."
        )
    if targets.dtype.kind not in "iuf" or not are_counts(targets):
        raise ConfigError("`counts_per_cell` holds values that are not whole numbers of at least 0. Round them first.")
    return targets.astype(np.int64)
