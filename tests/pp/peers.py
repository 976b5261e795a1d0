"""Kinds of matrices, and comparison of what a verb of scanpy's and of ours leaves behind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

KINDS = {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": np.array, "fortran": np.asfortranarray}
DTYPES = ("float32", "float64", "int32", "int64")


def counts(n: int = 120, genes: int = 80, seed: int = 0) -> np.ndarray:
    """Counts with genes of very different means and cells of different depth."""
    rng = np.random.default_rng(seed)
    return rng.poisson(rng.gamma(0.5, 1, genes) * rng.gamma(4, 0.25, (n, 1)))


def adata_of(kind: str = "csr", dtype: str = "float32", **size: int) -> AnnData:
    """AnnData of counts with a batch, a mask of cells and two sets of genes."""
    values = counts(**size)
    adata = AnnData(KINDS[kind](values.astype(dtype)))
    rng = np.random.default_rng(1)
    adata.obs["batch"] = pd.Categorical(np.array(["x", "y", "z"])[rng.integers(0, 3, adata.n_obs)])
    adata.obs["mask"] = rng.random(adata.n_obs) < 0.5
    adata.var["mt"], adata.var["ribo"] = rng.random(adata.n_vars) < 0.1, rng.random(adata.n_vars) < 0.3
    return adata


def dense(x: Any) -> np.ndarray:
    """Any matrix as an array."""
    x = x.compute() if hasattr(x, "compute") else x
    return x.toarray() if sp.issparse(x) else np.asarray(x)


def assert_same(ours: Any, theirs: Any) -> None:
    """Same type, dtype and shape, and values equal to float tolerance; AnnData and tables part by part."""
    if isinstance(theirs, AnnData):
        assert_same(ours.X, theirs.X)
        for part in ("obs", "var"):
            assert_same(getattr(ours, part), getattr(theirs, part))
        for name in theirs.layers:
            assert_same(ours.layers[name], theirs.layers[name])
        for name in theirs.obsm:
            assert_same(ours.obsm[name], theirs.obsm[name])
        assert ours.uns == theirs.uns
    elif isinstance(theirs, pd.DataFrame):
        pd.testing.assert_frame_equal(ours, theirs, rtol=1e-5, atol=1e-5)
    elif isinstance(theirs, tuple):
        for mine, other in zip(ours, theirs, strict=True):
            assert_same(mine, other)
    elif isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for key in theirs:
            assert_same(ours[key], theirs[key])
    elif theirs is None:
        assert ours is None
    else:
        assert type(ours) is type(theirs)
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(dense(ours), dense(theirs), rtol=1e-5, atol=1e-6)


def assert_twins(verb: Any, peer: Any, adata: AnnData, **options: Any) -> None:
    """Both verbs return the same and leave the same behind, or raise the same error."""
    mine, other = adata.copy(), adata.copy()
    try:
        expected = peer(other, **options)
    except Exception as error:  # whatever it is, ours must be one of its kind
        try:
            verb(mine, **options)
        except type(error):
            return
        raise AssertionError(f"{peer.__name__} raises {error!r}, ours does not") from error
    assert_same(verb(mine, **options), expected)
    assert_same(mine, other)
