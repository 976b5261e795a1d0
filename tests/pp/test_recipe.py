"""``recipe`` gives the result of its steps one after another."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from peers import FLAVORS, KINDS, LIMITS, adata_of, assert_recipes_agree, assert_same, dense, recipe_by_scanpy

from scae import pp
from scae.errors import ConfigError, CountsError


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flavor", FLAVORS)
@pytest.mark.parametrize("batch_key", [None, "batch"])
def test_results_are_those_of_scanpy(kind, flavor, batch_key):
    for target_sum, dtype in itertools.product((1e4, None), ("float32", "int64")):
        options = {"flavor": flavor, "batch_key": batch_key, "target_sum": target_sum, "n_top_genes": 30}
        ours, theirs = adata_of(kind, dtype, n=300), recipe_by_scanpy(adata_of(kind, dtype, n=300), **options)
        pp.recipe(ours, qc_vars=["mt"], **LIMITS, **options)
        assert_recipes_agree(ours, theirs)


def test_the_matrix_of_the_caller_does_not_change():
    adata = adata_of()
    matrix, before = adata.X, adata.X.copy()
    pp.recipe(adata, min_genes=0, min_cells=0, n_top_genes=9)
    assert_same(matrix, before)
    with pytest.raises(ConfigError, match="key_counts"):
        pp.recipe(adata)


def test_negative_values_give_the_results_of_the_single_steps():
    ours, theirs = (adata_of(n=200) for _ in range(2))
    for adata in (ours, theirs):
        adata.X.data[::9] *= -1
    options = {"qc_vars": ["mt"], "flavor": "seurat_v3", "n_top_genes": 9, "min_genes": 15, "min_cells": 5}
    with np.errstate(all="ignore"):
        pp.recipe(ours, **options)
        recipe_by_scanpy(theirs, **options)
    np.testing.assert_array_equal(ours.obs["n_genes"], theirs.obs["n_genes"])
    np.testing.assert_array_equal(dense(ours.layers["counts"]), dense(theirs.layers["counts"]))


def test_no_cell_left_raises_before_anything_is_removed():
    adata = AnnData(sp.csr_matrix(np.eye(5, dtype=np.float32)))
    with pytest.raises(CountsError, match="none of the 5 cells has 200 expressed genes"):
        pp.recipe(adata, percent_top=())
    assert adata.shape == (5, 5)
