"""Split counts into a training and a test part by binomial thinning."""

from __future__ import annotations

import numpy as np
from anndata import AnnData
from scipy import sparse

from ..errors import ConfigError
from ..kernels import sampling
from ._arguments import need_anndata, need_free, need_key, need_number, need_seed, note_written, refuse_backed_change
from ._calls import copy_if_view
from ._sampling import loaded, pointers_and_values, with_values


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
        Names of the layers to write. They add up to the counts, and have the same dtype and format. A layer that scae wrote
        before is replaced; ``uns["scae"]["written"]`` lists what scae wrote.
    random_state : int
        Seed, from 0 to 2⁶⁴ − 1.
    copy : bool
        Work on a copy of ``adata`` and return it.

    Returns
    -------
    None or AnnData
        The copy with both layers with ``copy=True``.

    Raises
    ------
    ConfigError
        If ``fraction`` is not between 0 and 1, if ``key_train``, ``key_test`` and ``layer`` are not different, if a key contains
        a slash or names a layer that scae did not write, or if ``random_state`` is not allowed.
    CountsError
        If a value is not a count.
    MissingKeyError
        If there is no such layer.
    MatrixError
        If the arrays of a sparse matrix contradict each other. Also, as a ``NotImplementedError``, if the matrix is backed or a
        dask array.

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
    need_anndata(adata, "thin_counts")
    if not need_number("fraction", fraction, above=0, most=1) < 1:
        raise ConfigError("fraction is 1, which leaves nothing for the test part. Give a number above 0 and below 1, e.g. 0.9.")
    need_key("key_train", key_train)
    need_key("key_test", key_test)
    if key_train == key_test or layer in (key_train, key_test):
        raise ConfigError(
            f"key_train is {key_train!r}, key_test is {key_test!r} and layer is {layer!r}: give three different names, "
            "so that no layer is overwritten."
        )
    need_free(adata, "layers", [key_train], "key_train")
    need_free(adata, "layers", [key_test], "key_test")
    seed = need_seed(random_state, 64)
    source = loaded(adata, "thin_counts", layer)
    refuse_backed_change(adata, "thin_counts", whole=copy)
    x, indptr, values = pointers_and_values(source)
    indices = x.indices if sparse.issparse(x) else np.tile(np.arange(x.shape[1]), x.shape[0])
    train = sampling.thin(indptr, indices, values, fraction, seed)
    adata = adata.copy() if copy else adata
    copy_if_view(adata)
    adata.layers[key_train] = with_values(x, train, source)
    adata.layers[key_test] = with_values(x, values - train, source)
    note_written(adata, "layers", [key_train, key_test], "thin_counts")
    return adata if copy else None
