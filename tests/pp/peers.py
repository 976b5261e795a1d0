"""Test data in all kinds of matrices, and functions that compare our verbs with those of scanpy."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData

from scae import pp

LIMITS = {"min_genes": 20, "min_cells": 15}  # filters that remove some cells and genes of :func:`adata_of`
FLAVORS = ("seurat", "cell_ranger", "seurat_v3", "pearson_residuals")
KINDS = {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": np.array, "fortran": np.asfortranarray}
DTYPES = ("float32", "float64", "int32", "int64")
kinds = pytest.mark.parametrize("kind", KINDS)
dtypes = pytest.mark.parametrize("dtype", DTYPES)


def grid(**options: list) -> list[dict[str, Any]]:
    """Return all combinations of the options as dictionaries."""
    return [dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())]


def counts(n: int = 120, genes: int = 80, seed: int = 0) -> np.ndarray:
    """Return counts ``(n, genes)`` of genes with very different means and cells with different depths."""
    rng = np.random.default_rng(seed)
    return rng.poisson(rng.gamma(0.5, 1, genes) * rng.gamma(4, 0.25, (n, 1)))


def adata_of(kind: str = "csr", dtype: str = "float32", **size: int) -> AnnData:
    """Return AnnData of counts with batches, a mask of cells and two sets of genes."""
    values = counts(**size)
    adata = AnnData(KINDS[kind](values.astype(dtype)))
    rng = np.random.default_rng(1)
    adata.obs["batch"] = pd.Categorical(np.array(["x", "y", "z"])[rng.integers(0, 3, adata.n_obs)])
    adata.obs["mask"] = rng.random(adata.n_obs) < 0.5
    adata.var["mt"], adata.var["ribo"] = rng.random(adata.n_vars) < 0.1, rng.random(adata.n_vars) < 0.3
    return adata


def dense(x: Any) -> np.ndarray:
    """Convert any matrix to a dense array."""
    x = x.compute() if hasattr(x, "compute") else x
    return x.toarray() if sp.issparse(x) else np.asarray(x)


def assert_same(ours: Any, theirs: Any) -> None:
    """Assert the same type, dtype and shape, and equal values up to rounding; AnnData and tables part by part."""
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
    """Assert that both verbs return the same result and change ``adata`` in the same way, or raise the same type of error."""
    mine, other = adata.copy(), adata.copy()
    try:
        expected = peer(other, **options)
    except Exception as error:  # ours must raise an error of the same type
        try:
            verb(mine, **options)
        except type(error):
            return
        raise AssertionError(f"{peer.__name__} raises {error!r}, ours does not") from error
    assert_same(verb(mine, **options), expected)
    assert_same(mine, other)


def recipe_by_scanpy(
    adata: AnnData, flavor="seurat", target_sum=1e4, batch_key=None, n_top_genes=30, qc_vars=("mt",), **limits
) -> AnnData:
    """Run the steps of the recipe one after another with scanpy."""
    limits = LIMITS | limits
    sc.pp.calculate_qc_metrics(adata, qc_vars=list(qc_vars), percent_top=(50,), inplace=True)
    sc.pp.filter_cells(adata, min_genes=limits["min_genes"])
    sc.pp.filter_genes(adata, min_cells=limits["min_cells"])
    adata.layers["counts"] = adata.X.copy()
    sc.pp.normalize_total(adata, target_sum=target_sum)
    sc.pp.log1p(adata)
    verb = sc.experimental.pp if flavor == "pearson_residuals" else sc.pp
    if flavor == "pearson_residuals" and batch_key is not None:
        verb = pp  # scanpy clips all batches at the root of the size of the first; see test_highly_variable_genes.py
    layer = None if flavor in ("seurat", "cell_ranger") else "counts"
    verb.highly_variable_genes(adata, flavor=flavor, n_top_genes=n_top_genes, batch_key=batch_key, layer=layer)
    return adata


def assert_recipes_agree(ours: AnnData, theirs: AnnData) -> None:
    """Assert that two results of the recipe are equal up to rounding."""
    for name in ("obs", "var"):
        pd.testing.assert_frame_equal(getattr(ours, name), getattr(theirs, name), rtol=1e-4, atol=1e-5, check_categorical=False)
    np.testing.assert_allclose(dense(ours.X), dense(theirs.X), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(dense(ours.layers["counts"]), dense(theirs.layers["counts"]))
    assert dict(ours.uns["hvg"]) == dict(theirs.uns["hvg"])


def stored(folder: Path, adata: AnnData, kind: str) -> Path:
    """Write ``adata`` to a file ``in.h5ad`` or ``in.zarr``."""
    path = folder / f"in.{kind}"
    (adata.write_zarr if kind == "zarr" else adata.write_h5ad)(path)
    return path


def read(path: Path) -> AnnData:
    """Read an h5ad file or a zarr store."""
    return anndata.read_zarr(path) if path.suffix == ".zarr" else anndata.read_h5ad(path)
