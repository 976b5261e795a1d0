"""``normalize_total`` gives the results of scanpy."""

from __future__ import annotations

import numpy as np
import pytest
import scanpy as sc
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from peers import DTYPES, KINDS, adata_of, assert_same, assert_twins, dense, dtypes, grid, kinds

from scae import pp
from scae.errors import ConfigError


@kinds
@dtypes
def test_results_are_those_of_scanpy(kind, dtype):
    options = grid(
        target_sum=[None, 1e4], exclude_highly_expressed=[True, False], inplace=[True, False], copy=[True, False],
        key_added=[None, "factor"], max_fraction=[0.1],
    )  # fmt: skip
    for chosen in [*options, {"max_fraction": 1.5}, {"layer": "absent"}]:
        assert_twins(pp.normalize_total, sc.pp.normalize_total, adata_of(kind, dtype), **chosen)


@given(
    arrays(np.int64, st.tuples(st.integers(1, 9), st.integers(1, 5)), elements=st.sampled_from([0, 0, 0, 1, 4, 9])),
    st.sampled_from([*KINDS]),
    st.sampled_from(DTYPES),
)
def test_the_target_is_the_median_of_the_cells_that_are_not_empty(values, kind, dtype):
    """For a sparse matrix, scanpy 1.11 takes the median over all cells; it is 0 for most raw files, and so is every value."""
    adata, total = AnnData(KINDS[kind](values.astype(dtype))), values.sum(1)
    pp.normalize_total(adata)
    target = np.median(total[total > 0]) if total.any() else 1
    np.testing.assert_allclose(dense(adata.X), values * (target / np.maximum(total, 1))[:, None], rtol=1e-6)


def test_totals_beyond_half_precision_are_exact():
    x = np.full((3, 80), 1000, "float16")
    adata = AnnData(x)
    pp.normalize_total(adata, target_sum=8)
    np.testing.assert_allclose(adata.X, 0.1, rtol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [{"target_sum": v} for v in (0, -1, np.nan, np.inf, "1e4")] + [{"key_added": "a/b"}, {"max_fraction": np.nan}],
    ids=str,
)
def test_wrong_options_are_refused_before_anything_changes(wrong):
    adata = adata_of()
    before = adata.copy()
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        pp.normalize_total(adata, **wrong)
    assert_same(adata, before)
