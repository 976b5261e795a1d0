"""``downsample_counts`` draws the counts that scanpy draws, and needs little memory for very large counts."""

from __future__ import annotations

import numpy as np
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData
from peers import adata_of, assert_same, assert_twins, dense, dtypes, grid, kinds

from scae import pp


@kinds
@dtypes
def test_results_are_those_of_scanpy(kind, dtype):
    targets = list(np.random.default_rng(3).integers(5, 60, 120))
    for common in grid(replace=[True, False], copy=[True, False], random_state=[0, 3]):
        for chosen in ({"counts_per_cell": 20}, {"counts_per_cell": targets}, {"total_counts": 500}, {"total_counts": 10**6}):
            assert_twins(pp.downsample_counts, sc.pp.downsample_counts, adata_of(kind, dtype), **chosen, **common)
    assert_twins(pp.downsample_counts, sc.pp.downsample_counts, adata_of(kind, dtype))
    assert_twins(pp.downsample_counts, sc.pp.downsample_counts, adata_of(kind, dtype), counts_per_cell=[1, 2])


def test_a_layer_is_downsampled_like_x():
    adata = adata_of()
    adata.layers["double"] = adata.X * 2
    expected = adata.copy()
    expected.X = expected.layers["double"]
    pp.downsample_counts(adata, 20, layer="double")
    pp.downsample_counts(expected, 20)
    assert_same(adata.layers["double"], expected.X)


def test_a_cell_of_a_billion_counts_is_downsampled_in_little_memory():
    counts, target, drawn = np.array([2.0**29, 2.0**28, 0, 5]), 600, []
    for seed in range(100):
        adata = AnnData(sp.csr_matrix(counts[None]))
        pp.downsample_counts(adata, target, random_state=seed)
        drawn.append(dense(adata.X)[0])
    drawn = np.array(drawn)
    assert (drawn.sum(1) == target).all()
    assert (drawn <= counts).all()
    share = counts / counts.sum()
    error = np.sqrt(target * share * (1 - share) / len(drawn))  # of sampling with replacement, which is close
    assert (np.abs(drawn.mean(0) - target * share) <= 4 * error + 1e-9).all()
