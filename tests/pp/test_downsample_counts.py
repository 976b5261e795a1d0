"""``downsample_counts`` draws cells independently, a single cell as scanpy does, and takes little memory for large counts."""

from __future__ import annotations

import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from peers import adata_of, assert_same, assert_twins, dense, dtypes, grid, kinds
from scipy import stats

from scae import pp, threads
from scae.errors import ConfigError, CountsError


@kinds
@dtypes
def test_results_are_those_of_scanpy_where_it_draws_once(kind, dtype):
    """Scanpy starts every cell from the same seed, so only the first that is drawn can agree."""
    only = np.full(120, 10**6)
    only[7] = 20
    for common in grid(replace=[True, False], copy=[True, False], random_state=[0, 3]):
        for chosen in ({"counts_per_cell": list(only)}, {"total_counts": 500}, {"total_counts": 10**6}):
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


def drawn(values, target, **options) -> np.ndarray:
    adata = AnnData(sp.csr_matrix(np.asarray(values)))
    pp.downsample_counts(adata, target, **options)
    return dense(adata.X)


@pytest.mark.parametrize("replace", [True, False])
def test_cells_are_drawn_independently_and_each_as_it_should_be(replace):
    n, counts = 4000, np.array([30.0, 20, 50, 10, 0])
    x = drawn(np.tile(counts, (n, 1)), 40, replace=replace, random_state=1)
    assert (x.sum(1) == 40).all()
    one_gene = stats.binom(40, 30 / 110) if replace else stats.hypergeom(110, 30, 40)
    expected = one_gene.pmf(np.arange(41)) * n
    observed = np.bincount(x[:, 0].astype(int), minlength=41)
    common = expected > 5
    assert stats.chisquare(observed[common], expected[common] * observed[common].sum() / expected[common].sum()).pvalue > 1e-4
    for apart in (1, 2, 512, 513):  # 512 cells share one stream
        assert abs(np.corrcoef(x[:-apart, 0], x[apart:, 0])[0, 1]) < 4 / np.sqrt(n - apart)


def test_each_cell_has_the_distribution_that_scanpy_gives_it():
    counts, ours, theirs = np.array([[9.0, 5, 0, 3]]), [], []
    for seed in range(400):
        ours.append(drawn(np.tile(counts, (3, 1)), 6, random_state=seed)[2])  # neither the first cell of the stream
        other = AnnData(sp.csr_matrix(counts))
        sc.pp.downsample_counts(other, 6, random_state=seed + 1000)
        theirs.append(dense(other.X)[0])
    for gene in (0, 1, 3):
        assert stats.ks_2samp(np.array(ours)[:, gene], np.array(theirs)[:, gene]).pvalue > 1e-3


def test_threads_do_not_change_the_draws():
    values, results = np.random.default_rng(0).poisson(3.0, (1500, 60)).astype("float32"), set()
    for n in (1, 2, 4):
        with threads.use(n):
            results.add(drawn(values, 50).tobytes())
    assert len(results) == 1


@given(st.sampled_from(["uint8", "int8", "uint16", "bool"]), st.integers(0, 2**32 - 1))
def test_no_count_is_lost_in_a_small_dtype(dtype, seed):
    values = np.array([[90, 40, 1]]).astype(dtype)
    target = int(values.sum(dtype=int))
    assert drawn(values.astype(dtype), target - 1, replace=True, random_state=seed).sum(dtype=float) == target - 1
    larger = np.array([[250, 40]], "uint8")
    assert drawn(larger, 289, replace=True, random_state=seed).sum(dtype=int) == 289


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5, None, True], ids=str)
def test_seeds_that_the_generator_would_cut_are_refused(seed):
    with pytest.raises(ConfigError, match=r"random_state.*from 0 to 2\^32 - 1"):
        pp.downsample_counts(adata_of(), 5, random_state=seed)


@pytest.mark.parametrize("target", [-1, 2.5, np.nan, "5", [1.5] * 120, [-1] * 120], ids=str)
def test_targets_that_are_not_whole_numbers_are_refused(target):
    with pytest.raises(ConfigError, match="whole number"):
        pp.downsample_counts(adata_of(), target)


@pytest.mark.parametrize("value", [0.5, -1.0, np.nan, np.inf, 1e30])
def test_values_that_are_not_counts_are_refused(value):
    adata = adata_of()
    adata.X.data[3] = value
    with pytest.raises(CountsError):
        pp.downsample_counts(adata, 5)
