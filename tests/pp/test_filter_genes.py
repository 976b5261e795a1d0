"""``filter_genes`` gives the results of scanpy."""

from __future__ import annotations

import pytest
import scanpy as sc
from peers import adata_of, assert_same, assert_twins, dtypes, grid, kinds

from scae import pp


@kinds
@dtypes
@pytest.mark.parametrize("limit", ["min_counts", "max_counts", "min_cells", "max_cells"])
def test_results_are_those_of_scanpy(kind, dtype, limit):
    verb, peer = pp.filter_genes, sc.pp.filter_genes
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
        pp.filter_genes(adata, layer="double", inplace=False, max_counts=200),
        pp.filter_genes(expected, inplace=False, max_counts=200),
    )
