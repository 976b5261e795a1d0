"""``log1p`` gives the results of scanpy."""

from __future__ import annotations

import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp
import zarr
from anndata import AnnData
from anndata.io import sparse_dataset, write_elem
from peers import adata_of, assert_same, assert_twins, dtypes, grid, kinds

from scae import pp
from scae.errors import ConfigError, MatrixError


@kinds
@dtypes
def test_results_are_those_of_scanpy(kind, dtype):
    adata = adata_of(kind, dtype)
    for options in grid(base=[None, 2], copy=[True, False], chunked=[True, False][not dtype.startswith("f") :]):
        assert_twins(pp.log1p, sc.pp.log1p, adata, **options)
    for options in grid(base=[None, 2], copy=[True, False]):
        assert_same(pp.log1p(adata.X.copy(), **options), sc.pp.log1p(adata.X.copy(), **options))
    with pytest.raises(TypeError):
        pp.log1p(adata.X, layer="counts")


def test_integers_in_chunks_are_not_truncated():
    adata = adata_of(dtype="int64")
    expected = np.log1p(adata.X.toarray())
    pp.log1p(adata, chunked=True)
    np.testing.assert_allclose(adata.X.toarray(), expected)


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_repeated_entries_are_summed_first(kind, dtype):
    """A gene twice in a cell, as after merging transcripts; scanpy takes the logarithm of each part. 200 + 100 exceeds uint8."""
    data, cells, genes = np.array([1, 200, 1, 100, 3], dtype), np.array([0, 0, 0, 0, 1]), np.array([0, 1, 0, 1, 2])
    x = {
        "csr": lambda: sp.csr_matrix((data, genes, [0, 4, 5]), (2, 3)),
        "csc": lambda: sp.csr_matrix((data, genes, [0, 4, 5]), (2, 3)).tocsc(),
        "coo": lambda: sp.coo_matrix((data, (cells, genes)), (2, 3)),
    }[kind]()
    assert x.nnz == 5
    np.testing.assert_allclose(pp.log1p(x, copy=True).toarray(), np.log1p([[2.0, 300, 0], [0, 0, 3]]), rtol=1e-6)


@pytest.mark.parametrize("base", [0, 1, -2, np.nan, np.inf, "e"])
def test_impossible_bases_are_refused(base):
    adata = adata_of()
    before = adata.copy()
    with pytest.raises(ConfigError, match="base is"):
        pp.log1p(adata, base=base)
    assert_same(adata, before)


@pytest.mark.parametrize("place", ["X", "layer"])
@pytest.mark.parametrize("chunked", [None, True])
def test_a_matrix_of_a_store_that_is_not_backed_as_a_whole_is_refused(tmp_path, place, chunked):
    """It was transformed in its file, and a layer's X in its place."""
    adata = adata_of(n=30)
    root = zarr.open_group(tmp_path / "a.zarr", mode="w")
    write_elem(root, "X", adata.X)
    adata = AnnData(sparse_dataset(root["X"]) if place == "X" else adata.X, layers={"more": sparse_dataset(root["X"])})
    before = sparse_dataset(root["X"])[:]
    with pytest.raises(MatrixError):
        pp.log1p(adata, chunked=chunked, layer=None if place == "X" else "more")
    assert_same(sparse_dataset(root["X"])[:], before)
    assert_same(adata.X[:], before)
