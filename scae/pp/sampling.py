"""Fewer counts: downsampling to a total, and thinning into a training and a test part."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from ..errors import ConfigError, CountsError
from ..io.blocks import is_backed
from ..kernels import sampling, sums
from ..kernels.rows import Rows
from ._calls import own, renamed
from ._matrix import each_block, get_rep, is_dask, set_rep, stacked


def _in_memory(x: Any, verb: str) -> None:
    if is_backed(x) or is_dask(x):
        raise NotImplementedError(f"{verb} is not implemented for matrices of type {type(x)}: load the matrix first.")


def _pointers(x: Any) -> tuple[Any, NDArray[np.int64], NDArray[np.float64]]:
    """CSR (or dense) form, row pointers, and the values as float64 of their own."""
    if sparse.issparse(x):
        x = x if x.format == "csr" else x.tocsr()
        return x, Rows.of(x).indptr, x.data.astype(np.float64)
    x = np.asarray(x)
    return x, np.arange(x.shape[0] + 1, dtype=np.int64) * x.shape[1], x.astype(np.float64).reshape(-1)


def _with_values(x: Any, values: NDArray[np.float64], like: Any) -> Any:
    """The CSR or dense ``x`` with other values, in the format and type of ``like``."""
    values = values.astype(like.dtype)
    if not sparse.issparse(x):
        return values.reshape(x.shape)
    new = type(x)((values, x.indices.copy(), x.indptr.copy()), shape=x.shape)
    new.eliminate_zeros()
    return new.asformat(like.format)


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
    """Draw some of the counts of each cell, or of the whole matrix.

    Drop-in for ``scanpy.pp.downsample_counts``: the same seed draws the same counts. Without replacement, a cell of more than
    2²⁴ counts is drawn gene by gene instead, in memory that does not grow with its counts.

    Parameters
    ----------
    adata
        Cells × genes, counts.
    counts_per_cell
        Total of each cell afterwards, one number or one a cell; cells below it stay as they are.
    total_counts
        Total of the matrix afterwards. Give either this or ``counts_per_cell``.
    random_state
        Seed, a whole number.
    replace
        Draw with replacement.
    copy
        Change and return a copy.
    layer
        Layer to change in place of ``X``.

    Returns
    -------
    None, or the copy.

    Raises
    ------
    ValueError
        If not exactly one target is given, or there are not as many targets as cells.
    NotImplementedError
        If the matrix is backed or lazy.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> adata = anndata.AnnData(np.array([[5.0, 5], [1, 0]], "float32"))
    >>> downsample_counts(adata, 4)
    >>> adata.X.sum(axis=1).tolist()
    [4.0, 1.0]
    """
    given = get_rep(adata, layer=layer)
    _in_memory(given, "downsample_counts")
    if (total_counts is None) is (counts_per_cell is None):
        raise ValueError("Must specify exactly one of `total_counts` or `counts_per_cell`.")
    x, indptr, values = _pointers(given)
    if total_counts is not None:
        targets, indptr = np.array([int(total_counts)], np.int64), np.array([0, values.size], np.int64)
        chosen = np.array([values.sum() >= targets[0] and values.size > 0])
    else:
        targets = _targets(counts_per_cell, adata.n_obs)
        chosen = stacked(each_block(given, lambda block, _: sums.rows(block)[:, 0])) > targets
    adata = adata.copy() if copy else adata
    own(adata)
    sampling.downsample(indptr, values, targets, chosen, seed=random_state, replace=replace)
    set_rep(adata, _with_values(x, values, given), layer=layer)
    return adata if copy else None


def _targets(counts_per_cell: Any, n_cells: int) -> NDArray[np.int64]:
    targets = np.asarray(counts_per_cell)
    if isinstance(counts_per_cell, int):
        targets = np.full(n_cells, counts_per_cell)
    if targets.shape != (n_cells,):
        raise ValueError(
            "If provided, 'counts_per_cell' must be either an integer, or coercible to an `np.ndarray` of length as number "
            f"of observations by `np.asarray(counts_per_cell)`; you provided shape {targets.shape} for {n_cells} cells."
        )
    return targets.astype(np.int64)


def thin_counts(
    adata: AnnData,
    fraction: float = 0.9,
    *,
    layer: str | None = None,
    key_train: str = "train",
    key_test: str = "test",
    random_state: int = 0,
    copy: bool = False,
) -> AnnData | None:
    """Split each count in two by binomial thinning, for molecular cross-validation.

    The draw for a count depends on the seed, its cell's and gene's place and the count alone: not on the matrix's format,
    nor on the number of threads. Under Poisson noise the two parts are independent.

    Parameters
    ----------
    adata
        Cells × genes, counts.
    fraction
        Share of the counts that goes to the training part, between 0 and 1.
    layer
        Layer to split in place of ``X``.
    key_train, key_test
        Layers that are written; they add up to the counts, in their type and format.
    random_state
        Seed, a whole number from 0.
    copy
        Write to a copy and return it.

    Returns
    -------
    None, or the copy.

    Raises
    ------
    ConfigError
        If ``fraction`` is not between 0 and 1, or a key names the source.
    CountsError
        If a value is negative or no whole number.
    NotImplementedError
        If the matrix is backed or lazy.

    References
    ----------
    Batson, Royer and Webber (2019), bioRxiv 786269.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> adata = anndata.AnnData(np.array([[9.0, 0], [4, 1]], "float32"))
    >>> thin_counts(adata)
    >>> bool((adata.layers["train"] + adata.layers["test"] == adata.X).all())
    True
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"fraction is {fraction!r}: give a share between 0 and 1, e.g. 0.9.")
    if key_train == key_test or layer in (key_train, key_test):
        raise ConfigError(f"the layers {key_train!r} and {key_test!r} must differ from each other and from {layer!r}.")
    given = get_rep(adata, layer=layer)
    _in_memory(given, "thin_counts")
    if sparse.issparse(given) and not given.has_canonical_format:
        given = given.copy()
        given.sum_duplicates()
    if not all(each_block(given, lambda block, _: sums.columns(block, sums.SQUARES)[1])):
        raise CountsError("thin_counts needs counts: whole numbers from 0. Name the layer that holds them with layer=.")
    x, indptr, values = _pointers(given)
    indices = x.indices if sparse.issparse(x) else np.tile(np.arange(x.shape[1]), x.shape[0])
    train = sampling.thin(indptr, indices, values, fraction, random_state)
    adata = adata.copy() if copy else adata
    own(adata)
    adata.layers[key_train] = _with_values(x, train, given)
    adata.layers[key_test] = _with_values(x, values - train, given)
    return adata if copy else None
