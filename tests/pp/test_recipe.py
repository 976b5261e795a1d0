"""``recipe`` gives the result of its steps one after another."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData
from peers import FLAVORS, KINDS, LIMITS, adata_of, assert_recipes_agree, assert_same, recipe_by_scanpy

import scae
from scae import pp
from scae.errors import ConfigError, CountsError, MissingKeyError, ScaeError


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


def logarithms(adata: AnnData) -> None:
    adata.raw = adata.copy()
    sc.pp.log1p(adata)


def value(v: float):
    def change(adata: AnnData) -> None:
        adata.X.data[3] = v

    return change


NOT_COUNTS = {str(v): value(v) for v in (np.nan, np.inf, -np.inf, -1.0, 0.5, 1e30)} | {"logarithms": logarithms}


@pytest.mark.parametrize("name", NOT_COUNTS)
def test_values_that_are_not_counts_are_refused_as_by_check(name):
    adata = adata_of("csr", "float64")
    NOT_COUNTS[name](adata)
    before = adata.copy()
    with pytest.raises(CountsError) as raised:
        pp.recipe(adata, min_genes=0, min_cells=0)
    errors = [f.message for f in scae.check(adata).findings if f.level == "error"]
    assert str(raised.value) in errors
    assert_same(adata, before)
    assert list(adata.layers) == []


WRONG = {
    "flavor": ({"flavor": "seurat_v4"}, ConfigError, "flavor is 'seurat_v4'"),
    "qc_vars": ({"qc_vars": ["mito"]}, MissingKeyError, "unknown var column 'mito'"),
    "batch_key": ({"batch_key": "bach"}, MissingKeyError, "did you mean 'batch'"),
    "missing": ({"batch_key": "gaps"}, CountsError, r"obs\['gaps'\] has 100 missing values"),
    "slash": ({"key_counts": "a/b"}, ConfigError, "a key must not contain '/'"),
    "no key": ({"key_counts": ""}, ConfigError, "key_counts"),
    "no total": ({"target_sum": 0}, ConfigError, "target_sum is 0"),
    "negative total": ({"target_sum": -1.0}, ConfigError, "target_sum"),
    "infinite total": ({"target_sum": np.inf}, ConfigError, "target_sum"),
    "NaN total": ({"target_sum": np.nan}, ConfigError, "target_sum"),
    "no variable genes": ({"n_top_genes": 0}, ConfigError, "n_top_genes is 0"),
    "no top genes": ({"percent_top": (0,)}, ConfigError, "percent_top"),
    "part of a gene": ({"percent_top": (2.5,)}, ConfigError, "percent_top"),
    "negative genes": ({"min_genes": -1}, ConfigError, "min_genes is -1"),
    "negative cells": ({"min_cells": -1}, ConfigError, "min_cells is -1"),
    "NaN genes": ({"min_genes": np.nan}, ConfigError, "min_genes"),
    "text": ({"min_cells": "3"}, ConfigError, "min_cells is '3'"),
    "no cell left": ({"min_genes": 79}, CountsError, "none of the 120 cells has 79 expressed genes: lower min_genes"),
    "no gene left": ({"min_cells": 5000}, CountsError, r"none of the 80 genes is expressed in 5000 of .*: lower min_cells"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("kind", ["csr", "dense"])
def test_wrong_options_are_refused_before_anything_changes(name, kind):
    options, error, message = WRONG[name]
    adata = adata_of(kind)
    adata.obs["gaps"] = [None] * 100 + ["x"] * 20
    before = adata.copy()
    with pytest.raises(error, match=message) as raised:
        pp.recipe(adata, **{"min_genes": 1, "min_cells": 1} | options)
    assert isinstance(raised.value, ScaeError)
    assert_same(adata, before)
    assert (list(adata.layers), list(adata.uns)) == ([], [])


def test_replaced_columns_are_named_and_equal_ones_are_not():
    adata = adata_of()
    pp.calculate_qc_metrics(adata, percent_top=(50,), inplace=True)
    adata.obs["n_genes"], adata.var["means"] = "mine", 1.0
    with pytest.warns(UserWarning, match=r"new values: obs\['n_genes'\], var\['means'\]\."):
        pp.recipe(adata, min_genes=1, min_cells=1, n_top_genes=9)


def test_no_cell_left_raises_before_anything_is_removed():
    adata = AnnData(sp.csr_matrix(np.eye(5, dtype=np.float32)))
    with pytest.raises(CountsError, match="none of the 5 cells has 200 expressed genes"):
        pp.recipe(adata, percent_top=())
    assert adata.shape == (5, 5)
