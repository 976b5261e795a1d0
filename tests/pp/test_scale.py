"""``scale`` gives the results of scanpy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from peers import KINDS, adata_of, assert_same, assert_twins, dense, dtypes, grid, kinds

from scae import pp
from scae.errors import ConfigError


@kinds
@dtypes
def test_results_are_those_of_scanpy(kind, dtype):
    mask = np.random.default_rng(2).random(120) < 0.4
    options = grid(zero_center=[True, False], max_value=[None, 1.0], mask_obs=[None, "mask", mask], copy=[True, False])
    for chosen in [*options, {"mask_obs": "absent"}, {"mask_obs": mask[:5]}, {"mask_obs": "batch"}]:
        assert_twins(pp.scale, sc.pp.scale, adata_of(kind, dtype), **chosen)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("zero_center", [True, False])
@given(constants=arrays(np.float64, 30, elements=st.floats(1e-3, 1e6)), n=st.integers(2, 900))
def test_constant_genes_are_not_divided(kind, zero_center, constants, n):
    """Rounding makes the variance of such genes about ±1e-17 of the squared mean; scanpy returns NaN or 1e7 for them."""
    adata = AnnData(KINDS[kind](np.tile(constants, (n, 1))))
    pp.scale(adata, zero_center=zero_center)
    np.testing.assert_allclose(
        dense(adata.X), np.tile(constants * (not zero_center), (n, 1)), rtol=1e-9, atol=1e-9 * constants.max()
    )
    assert (adata.var["std"] == 1).all()


def test_genes_that_vary_a_little_are_still_scaled():
    x = 5 + 1e-3 * np.random.default_rng(0).normal(size=(500, 4))
    np.testing.assert_allclose(pp.scale(x.copy()), (x - x.mean(0)) / x.std(0, ddof=1), rtol=1e-4, atol=1e-4)


MASKS = {
    "bool": lambda m: m,
    "0 and 1": lambda m: m.astype(int),
    "0.0 and 1.0": lambda m: m.astype(float),
    "object": lambda m: m.astype(object),
    "text": lambda m: m.astype(str),
    "nullable": lambda m: pd.array(m, dtype="boolean"),
    "categorical": lambda m: pd.Categorical(m.astype(str)),
}


@pytest.mark.parametrize("form", MASKS)
def test_masks_in_any_form_are_read_as_booleans(form):
    results = []
    for column in (MASKS["bool"], MASKS[form]):
        adata = adata_of("dense", "float64")
        adata.obs["chosen"] = column(np.arange(120) % 3 == 0)
        pp.scale(adata, mask_obs="chosen")
        results.append(adata.X)
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([2] + [0] * 119, r"obs\['chosen'\] must be boolean.*such as 2"),
        (["yes"] * 120, r"obs\['chosen'\] must be boolean.*such as 'yes'"),
        (pd.array([None] + [True] * 119, dtype="boolean"), r"obs\['chosen'\] has 1 missing values"),
        ([False] * 120, r"obs\['chosen'\] selects no cell"),
    ],
    ids=["numbers", "text", "missing", "none"],
)
def test_other_columns_are_refused_by_name(column, message):
    adata = adata_of()
    adata.obs["chosen"] = column
    before = adata.copy()
    with pytest.raises(ConfigError, match=message):
        pp.scale(adata, mask_obs="chosen")
    assert_same(adata, before)
