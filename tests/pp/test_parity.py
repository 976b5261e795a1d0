"""All verbs give the results of scanpy: warnings, views, layers, random matrices, other types of sparse matrices."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from peers import DTYPES, KINDS, adata_of, assert_same, assert_twins

from scae import pp

VERBS = {
    "calculate_qc_metrics": {"percent_top": (5,), "inplace": True},
    "filter_cells": {"min_genes": 20},
    "filter_genes": {"min_cells": 20},
    "normalize_total": {},
    "log1p": {},
    "scale": {"zero_center": False},
    "highly_variable_genes": {"flavor": "seurat_v3", "subset": True, "n_top_genes": 20},
}

small = arrays(np.int64, st.tuples(st.integers(1, 12), st.integers(1, 9)), elements=st.integers(0, 9) | st.just(300))


def test_warnings_are_those_of_scanpy():
    adata = adata_of(dtype="float64")
    adata.X = adata.X * 0.5
    with pytest.warns(UserWarning, match="expects raw count data"):
        pp.highly_variable_genes(adata, flavor="seurat_v3")
    with pytest.warns(UserWarning, match="all cutoffs are ignored"):
        pp.highly_variable_genes(adata, n_top_genes=5, min_mean=1)
    with pytest.warns(UserWarning, match="densifies"):
        pp.scale(adata.copy())
    with pytest.warns(FutureWarning, match="renamed"):
        pp.log1p(X=adata.X)
    with pytest.warns(UserWarning, match="view"):
        pp.log1p(adata[:5])


@pytest.mark.parametrize("name", VERBS)
@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
def test_views_are_copied_and_their_parents_do_not_change(name, kind):
    parent, mine, other = adata_of(kind), adata_of(kind), adata_of(kind)
    here, there = mine[::2, 5:], other[::2, 5:]
    getattr(pp, name)(here, **VERBS[name])
    getattr(sc.pp, name)(there, **VERBS[name])
    assert_same(here, there)
    assert_same(mine, parent)


@pytest.mark.parametrize("name", ["normalize_total", "log1p", "scale", "highly_variable_genes", "calculate_qc_metrics"])
def test_layers_and_obsm(name):
    adata = adata_of()
    adata.layers["counts"] = adata.X * 2
    options = VERBS[name] | ({"subset": False} if name == "highly_variable_genes" else {})
    assert_twins(getattr(pp, name), getattr(sc.pp, name), adata, layer="counts", **options)
    if name in ("log1p", "scale"):
        adata.obsm["counts"] = adata.X.toarray()
        assert_twins(getattr(pp, name), getattr(sc.pp, name), adata, obsm="counts", **options)


@given(small, st.sampled_from(list(KINDS)), st.sampled_from(DTYPES))
def test_random_matrices(values, kind, dtype):
    adata = AnnData(KINDS[kind](values.astype(dtype)))
    adata.var["set"] = np.arange(adata.n_vars) % 2 == 0
    options = {"qc_vars": ["set"], "percent_top": (1, adata.n_vars), "inplace": True}
    assert_twins(pp.calculate_qc_metrics, sc.pp.calculate_qc_metrics, adata, **options)
    assert_twins(pp.filter_genes, sc.pp.filter_genes, adata, min_counts=2, inplace=False)
    assert_twins(pp.filter_cells, sc.pp.filter_cells, adata, min_genes=1, inplace=False)
    assert_twins(pp.normalize_total, sc.pp.normalize_total, adata, target_sum=10)
    assert_twins(pp.log1p, sc.pp.log1p, adata, base=10)
    assert_twins(pp.scale, sc.pp.scale, adata, zero_center=False, max_value=2)
    assert_twins(pp.downsample_counts, sc.pp.downsample_counts, adata[:1].copy(), counts_per_cell=3)


def test_int64_indices_and_sparse_arrays_give_the_same_results():
    adata = adata_of(n=60)
    wide, array = adata.copy(), adata.copy()
    wide.X.indices, wide.X.indptr = wide.X.indices.astype(np.int64), wide.X.indptr.astype(np.int64)
    array.X = sp.csr_array(adata.X)
    for other in (wide, array):
        mine, theirs = other.copy(), adata.copy()
        for a in (mine, theirs):
            pp.recipe(a, min_genes=5, n_top_genes=20, percent_top=())
        np.testing.assert_array_equal(mine.X.toarray(), theirs.X.toarray())
        pd.testing.assert_frame_equal(mine.var, theirs.var)
        assert type(mine.X) is type(other.X)
