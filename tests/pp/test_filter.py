"""``filter_cells`` and ``filter_genes`` give the results of scanpy."""

from __future__ import annotations

import pytest
import scanpy as sc
from peers import adata_of, assert_same, assert_twins, dtypes, grid, kinds

from scae import pp

LIMITS = [(name, f"{end}_{of}") for name, other in (("cells", "genes"), ("genes", "cells")) for end in ("min", "max")
          for of in ("counts", other)]  # fmt: skip


@kinds
@dtypes
@pytest.mark.parametrize(("name", "limit"), LIMITS)
def test_results_are_those_of_scanpy(kind, dtype, name, limit):
    verb, peer = (getattr(package, f"filter_{name}") for package in (pp, sc.pp))
    for options in grid(inplace=[True, False], copy=[True, False]):
        for bound in (0, 30):
            assert_twins(verb, peer, adata_of(kind, dtype), **{limit: bound}, **options)
    assert_twins(verb, peer, adata_of(kind, dtype), min_counts=1, max_counts=4)
    assert_twins(verb, peer, adata_of(kind, dtype))
    assert_same(verb(adata_of(kind, dtype).X, min_counts=20), peer(adata_of(kind, dtype).X, min_counts=20))


@pytest.mark.parametrize(("verb", "limits"), [(pp.filter_cells, {"min_counts": 90}), (pp.filter_genes, {"max_counts": 200})])
def test_a_layer_is_filtered_like_x(verb, limits):
    adata = adata_of()
    adata.layers["double"] = adata.X * 2
    expected = adata.copy()
    expected.X = expected.layers["double"]
    assert_same(verb(adata, layer="double", inplace=False, **limits), verb(expected, inplace=False, **limits))


def test_legacy_positional_arguments_are_accepted():
    mine, other = adata_of(), adata_of()
    pp.filter_cells(mine, 20)
    sc.pp.filter_cells(other, 20)
    assert_same(mine, other)
