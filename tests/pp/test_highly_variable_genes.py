"""``highly_variable_genes`` gives the results of scanpy, and sensible ones where scanpy fails."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData
from peers import KINDS, adata_of, assert_same, assert_twins, grid

from scae import pp


@pytest.fixture(params=[(kind, dtype) for kind in KINDS for dtype in ("float32", "float64", "int64")], ids=str)
def both(request):
    """AnnData of counts, and of their normalised logarithms."""
    raw = adata_of(*request.param, n=300, genes=150)
    logs = raw.copy()
    sc.pp.normalize_total(logs, target_sum=1e4)
    sc.pp.log1p(logs)
    return raw, logs


@pytest.mark.parametrize("flavor", ["seurat", "cell_ranger"])
@pytest.mark.parametrize("batch_key", [None, "batch"])
def test_dispersion_flavours_give_the_results_of_scanpy(both, flavor, batch_key):
    for options in grid(n_top_genes=[None, 30, 500], n_bins=[20, 5], inplace=[True, False]):
        mine, other = both[1].copy(), both[1].copy()
        ours = pp.highly_variable_genes(mine, flavor=flavor, batch_key=batch_key, **options)
        theirs = sc.pp.highly_variable_genes(other, flavor=flavor, batch_key=batch_key, **options)
        ours, theirs = (mine.var, other.var) if options["inplace"] else (ours, theirs)
        assert_same_but_for_ties(ours, theirs, "dispersions_norm")
        assert mine.uns == other.uns


def assert_same_but_for_ties(ours, theirs, score):
    """Assert equal tables, except that a few genes may be marked differently because of rounding."""
    marks = [name for name in theirs if name.startswith("highly_variable")]
    assert list(ours.columns) == list(theirs.columns)
    assert (ours.dtypes == theirs.dtypes).all()
    assert_same(ours.drop(columns=marks), theirs.drop(columns=marks))
    differ = (ours[marks].fillna(-1) != theirs[marks].fillna(-1)).any(axis=1)
    assert differ.sum() <= 0.03 * len(ours), score


@pytest.mark.parametrize("flavor", ["seurat_v3", "seurat_v3_paper"])
def test_seurat_v3_flavours_give_the_results_of_scanpy(both, flavor):
    for options in grid(batch_key=[None, "batch"], n_top_genes=[None, 30], subset=[True, False], inplace=[True, False]):
        assert_twins(pp.highly_variable_genes, sc.pp.highly_variable_genes, both[0], flavor=flavor, **options)
    assert_twins(pp.highly_variable_genes, sc.pp.highly_variable_genes, both[0], flavor=flavor, span=0.6)


def test_pearson_residuals_give_the_results_of_scanpy(both):
    peer = sc.experimental.pp.highly_variable_genes
    for options in grid(batch_key=[None, "batch"], theta=[100, 1, np.inf], clip=[None, 3, np.inf], subset=[True, False]):
        assert_twins(
            lambda a, **o: pp.highly_variable_genes(a, flavor="pearson_residuals", **o), peer, both[0], n_top_genes=30, **options
        )
    for wrong in ({"theta": 0}, {"clip": -1}, {"n_top_genes": None}):
        options = {"n_top_genes": 30} | wrong
        assert_twins(lambda a, **o: pp.highly_variable_genes(a, flavor="pearson_residuals", **o), peer, both[0], **options)


@pytest.mark.parametrize("options", [{"flavor": "unknown"}, {"layer": "absent"}, {"min_disp": 1.0}], ids=str)
def test_wrong_options_raise_the_errors_of_scanpy(options):
    adata = adata_of()
    sc.pp.log1p(adata)
    assert_twins(pp.highly_variable_genes, sc.pp.highly_variable_genes, adata, **options)


def test_a_bare_matrix_raises():
    with pytest.raises(ValueError, match="expects an `AnnData`"):
        pp.highly_variable_genes(adata_of().X)


def few_cells() -> AnnData:
    """Return small batches, in which genes have only a few different means, so that the local regression is singular."""
    rng = np.random.default_rng(0)
    adata = AnnData(sp.csr_matrix(rng.poisson(0.3, (30, 200)).astype("float32")))
    adata.obs["batch"] = pd.Categorical(["big"] * 24 + ["small"] * 4 + ["tiny"] * 2)
    return adata


def test_a_singular_local_regression_is_replaced():
    with pytest.raises(ValueError, match=r"svddc|span|[Ee]rror|singular|failed"):
        sc.pp.highly_variable_genes(few_cells(), flavor="seurat_v3", n_top_genes=20, batch_key="batch")
    adata = few_cells()
    pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=20, batch_key="batch")
    assert adata.var["highly_variable"].sum() == 20
    assert np.isfinite(adata.var["variances_norm"]).all()


def test_a_batch_of_one_cell_gives_finite_variances():
    adata = few_cells()
    adata.obs["batch"] = ["a"] * 29 + ["b"]
    pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=20, batch_key="batch")
    assert np.isfinite(adata.var["variances_norm"]).all()


def test_cells_without_a_batch_are_ignored():
    adata = adata_of(n=200)
    adata.obs["batch"] = adata.obs["batch"].astype(object).where(adata.obs["batch"] != "z")
    rest = adata[adata.obs["batch"].notna()].copy()
    for flavor in ("seurat_v3", "pearson_residuals"):
        pp.highly_variable_genes(adata, flavor=flavor, n_top_genes=20, batch_key="batch")
        pp.highly_variable_genes(rest, flavor=flavor, n_top_genes=20, batch_key="batch")
        np.testing.assert_allclose(adata.var["means"], rest.var["means"])
        assert (adata.var["highly_variable"] == rest.var["highly_variable"]).all()


def test_integer_batches_and_unused_categories_give_the_same_genes():
    adata = adata_of(n=200)
    sc.pp.log1p(adata)
    numbered, unused = adata.copy(), adata.copy()
    numbered.obs["batch"] = adata.obs["batch"].cat.codes.to_numpy()
    unused.obs["batch"] = adata.obs["batch"].cat.add_categories(["never"])
    for a in (adata, numbered, unused):
        pp.highly_variable_genes(a, n_top_genes=20, batch_key="batch")
    assert (adata.var == numbered.var).all(axis=None)
    assert (adata.var == unused.var).all(axis=None)


def test_subsetting_by_limits_and_batches_keeps_the_marked_genes():
    adata = adata_of(n=200)
    sc.pp.log1p(adata)
    table = pp.highly_variable_genes(adata, batch_key="batch", inplace=False)
    pp.highly_variable_genes(adata, batch_key="batch", subset=True)
    assert set(adata.var_names) == set(table.index[table["highly_variable"]])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
def test_small_integers_do_not_overflow(dtype):
    values = np.random.default_rng(0).integers(0, 110, (40, 1)) * np.ones((1, 60), int)
    values = np.minimum(values + np.arange(60), 120)
    tables = []
    for stored in (dtype, "float64"):
        adata = AnnData(values.astype(stored))
        tables.append(pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=2, inplace=False))
    pd.testing.assert_frame_equal(*tables)
    variances = sc.pp._utils._get_mean_var(values.astype("int8"))[1]  # scanpy crashes in the regression
    assert not np.allclose(variances, tables[0]["variances"])


def test_tied_means_give_fewer_bins():
    values = np.tile(np.array([[0.0, 1, 0, 1, 0, 2]]), (30, 1))
    values[::2] += 1
    adata = AnnData(np.repeat(values, 5, axis=1))
    with pytest.raises(ValueError, match="unique"):
        sc.pp.highly_variable_genes(adata.copy(), flavor="cell_ranger", n_top_genes=5)
    pp.highly_variable_genes(adata, flavor="cell_ranger", n_top_genes=5)
    assert adata.var["highly_variable"].dtype == bool
