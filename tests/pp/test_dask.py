"""Dask arrays stay lazy and give the results of matrices in memory."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from peers import FLAVORS, LIMITS, adata_of, assert_recipes_agree, dense

from scae import pp

da = pytest.importorskip("dask.array")


def chunked(adata: AnnData, rows: int = 70) -> AnnData:
    """Return a copy with ``X`` as a dask array in chunks of rows."""
    lazy = adata.copy()
    parts = [adata.X[a : a + rows] for a in range(0, adata.n_obs, rows)]
    lazy.X = da.concatenate([da.from_array(p, chunks=p.shape, asarray=not sp.issparse(p)) for p in parts])
    return lazy


@pytest.mark.parametrize("kind", ["csr", "dense"])
@pytest.mark.parametrize("dtype", ["float32", "int64"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_the_recipe_and_other_verbs_stay_lazy(kind, dtype, flavor):
    here = adata_of(kind, dtype, n=300)
    lazy = chunked(here)
    for adata in (here, lazy):
        pp.recipe(adata, qc_vars=["mt"], flavor=flavor, batch_key="batch", n_top_genes=30, **LIMITS)
    assert isinstance(lazy.X, da.Array)
    assert_recipes_agree(lazy, here)
    for adata in (here, lazy):
        pp.scale(adata, zero_center=False, max_value=2)
        pp.rank_by_deviance(adata, layer="counts")
        pp.size_factors(adata, "median_of_ratios", layer="counts")
    assert isinstance(lazy.X, da.Array)
    np.testing.assert_allclose(dense(lazy.X), dense(here.X), rtol=1e-5)
    pd.testing.assert_frame_equal(lazy.var, here.var, rtol=1e-4)
    pd.testing.assert_frame_equal(lazy.obs, here.obs, rtol=1e-4)


@pytest.mark.parametrize("options", [{"zero_center": True}, {"mask_obs": "mask"}, {"mask_obs": "mask", "zero_center": False}])
def test_scale_gives_the_result_in_memory(options):
    here = adata_of("dense", "float64", n=300)
    lazy = chunked(here)
    pp.scale(here, **options)
    pp.scale(lazy, **options)
    np.testing.assert_allclose(dense(lazy.X), here.X)


def test_normalize_total_without_highly_expressed_genes():
    here = adata_of("csr", "float32", n=300)
    lazy = chunked(here)
    for adata in (here, lazy):
        pp.normalize_total(adata, target_sum=10, exclude_highly_expressed=True, max_fraction=0.2, key_added="factor")
    np.testing.assert_allclose(dense(lazy.X), dense(here.X), rtol=1e-6)
    np.testing.assert_allclose(lazy.obs["factor"], here.obs["factor"])
