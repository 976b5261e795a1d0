"""Split counts into a training and a test part by binomial thinning."""

from __future__ import annotations

import numpy as np
from anndata import AnnData
from scipy import sparse

from ..errors import ConfigError, CountsError
from ..kernels import sampling, sums
from ._calls import copy_if_view
from ._matrix import each_block, get_rep
from ._sampling import check_in_memory, pointers_and_values, with_values


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

    Each molecule goes to the training part with probability ``fraction``, and to the test part otherwise. If the counts are
    Poisson distributed, the two parts are independent. The draw for a count depends only on the seed, the position of its cell
    and gene, and the count itself. It does not depend on the format of the matrix or the number of threads.

    Parameters
    ----------
    adata : AnnData
        Cells × genes, counts in memory.
    fraction : float
        Expected share of the counts in the training part; above 0 and below 1.
    layer : str, optional
        Layer to split; ``X`` by default.
    key_train, key_test : str
        Names of the layers to write. They add up to the counts, and have the same dtype and format.
    random_state : int
        Seed, at least 0.
    copy : bool
        Work on a copy of ``adata`` and return it.

    Returns
    -------
    None or AnnData
        The copy with both layers with ``copy=True``.

    Raises
    ------
    ConfigError
        If ``fraction`` is not between 0 and 1, or if ``key_train``, ``key_test`` and ``layer`` are not different.
    CountsError
        If a value is negative or not a whole number.
    MissingKeyError
        If there is no such layer.
    NotImplementedError
        If the matrix is backed or a dask array.

    References
    ----------
    Batson, Royer and Webber (2019), Molecular cross-validation for single-cell RNA-seq, bioRxiv 786269.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> adata = anndata.AnnData(np.array([[9.0, 0], [4, 1]], "float32"))
    >>> thin_counts(adata)
    >>> bool((adata.layers["train"] + adata.layers["test"] == adata.X).all())
    True
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"fraction is {fraction!r}: give a number above 0 and below 1, e.g. 0.9.")
    if key_train == key_test or layer in (key_train, key_test):
        raise ConfigError(
            f"key_train is {key_train!r}, key_test is {key_test!r} and layer is {layer!r}: give three different names, "
            "so that no layer is overwritten."
        )
    source = get_rep(adata, layer=layer)
    check_in_memory(source, "thin_counts")
    if sparse.issparse(source) and not source.has_canonical_format:
        source = source.copy()
        source.sum_duplicates()
    if not all(each_block(source, lambda block, _: sums.columns(block, sums.SQUARES)[1])):
        raise CountsError(
            "thin_counts needs raw counts, but some values are negative or not whole numbers. "
            "Name the layer that holds the counts with layer=."
        )
    x, indptr, values = pointers_and_values(source)
    indices = x.indices if sparse.issparse(x) else np.tile(np.arange(x.shape[1]), x.shape[0])
    train = sampling.thin(indptr, indices, values, fraction, random_state)
    adata = adata.copy() if copy else adata
    copy_if_view(adata)
    adata.layers[key_train] = with_values(x, train, source)
    adata.layers[key_test] = with_values(x, values - train, source)
    return adata if copy else None
