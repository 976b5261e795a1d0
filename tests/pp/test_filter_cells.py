"""``filter_cells`` gives the results of scanpy."""

from __future__ import annotations

import pytest
import scanpy as sc
from peers import adata_of, assert_same, assert_twins, dtypes, grid, kinds

from scae import pp


@kinds
@dtypes
@pytest.mark.parametrize("limit", ["min_counts", "max_counts", "min_genes", "max_genes"])
def test_results_are_those_of_scanpy(kind, dtype, limit):
    verb, peer = pp.filter_cells, sc.pp.filter_cells
    for options in grid(inplace=[True, False], copy=[True, False]):
        for bound in (0, 30):
            assert_twins(verb, peer, adata_of(kind, dtype), **{limit: bound}, **options)
    assert_twins(verb, peer, adata_of(kind, dtype), min_counts=1, max_counts=4)
    assert_twins(verb, peer, adata_of(kind, dtype))
    assert_same(verb(adata_of(kind, dtype).X, min_counts=20), peer(adata_of(kind, dtype).X, min_counts=20))


def test_a_layer_is_filtered_like_x():
    adata = adata_of()
    adata.layers["double"] = adata.X * 2
    expected = adata.copy()
    expected.X = expected.layers["double"]
    assert_same(
        pp.filter_cells(adata, layer="double", inplace=False, min_counts=90),
        pp.filter_cells(expected, inplace=False, min_counts=90),
    )


def test_legacy_positional_arguments_are_accepted():
    mine, other = adata_of(), adata_of()
    pp.filter_cells(mine, 20)
    sc.pp.filter_cells(other, 20)
    assert_same(mine, other)
