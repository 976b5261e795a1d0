"""Where scanpy fails, or its answer depends on how the numbers are stored, ours is the sensible one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData
from peers import adata_of, dense

from scae import pp


def few_cells() -> AnnData:
    """Batches of so few cells that means take a handful of values: the local regression is singular."""
    rng = np.random.default_rng(0)
    adata = AnnData(sp.csr_matrix(rng.poisson(0.3, (30, 200)).astype("float32")))
    adata.obs["batch"] = pd.Categorical(["big"] * 24 + ["small"] * 4 + ["tiny"] * 2)
    return adata


def test_singular_loess_falls_back():
    with pytest.raises(ValueError, match=r"svddc|span|[Ee]rror|singular|failed"):
        sc.pp.highly_variable_genes(few_cells(), flavor="seurat_v3", n_top_genes=20, batch_key="batch")
    adata = few_cells()
    pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=20, batch_key="batch")
    assert adata.var["highly_variable"].sum() == 20
    assert np.isfinite(adata.var["variances_norm"]).all()


def test_a_batch_of_one_cell_has_no_say():
    adata = few_cells()
    adata.obs["batch"] = ["a"] * 29 + ["b"]
    pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=20, batch_key="batch")
    assert np.isfinite(adata.var["variances_norm"]).all()


def test_cells_without_a_batch_take_no_part():
    adata = adata_of(n=200)
    adata.obs["batch"] = adata.obs["batch"].astype(object).where(adata.obs["batch"] != "z")
    rest = adata[adata.obs["batch"].notna()].copy()
    for flavor in ("seurat_v3", "pearson_residuals"):
        pp.highly_variable_genes(adata, flavor=flavor, n_top_genes=20, batch_key="batch")
        pp.highly_variable_genes(rest, flavor=flavor, n_top_genes=20, batch_key="batch")
        np.testing.assert_allclose(adata.var["means"], rest.var["means"])
        assert (adata.var["highly_variable"] == rest.var["highly_variable"]).all()


def test_integer_batches_and_unused_categories():
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
    variances = sc.pp._utils._get_mean_var(values.astype("int8"))[1]  # from here scanpy's regression ends the process
    assert not np.allclose(variances, tables[0]["variances"])


def test_totals_above_the_float32_limit_are_exact_until_they_are_stored():
    x = np.full((20, 2), 2**20 + 1, "float32")
    _, genes = pp.calculate_qc_metrics(AnnData(sp.csr_matrix(x)), percent_top=None)
    assert (genes["mean_counts"] == 2**20 + 1).all()


def test_boolean_counts():
    adata = AnnData(sp.csr_matrix(adata_of().X.toarray() > 0))
    cells, _ = pp.calculate_qc_metrics(adata, percent_top=(5,))
    assert (cells["total_counts"] == cells["n_genes_by_counts"]).all()


def test_chunked_log1p_of_integers_is_not_truncated():
    adata = adata_of(dtype="int64")
    expected = np.log1p(adata.X.toarray())
    pp.log1p(adata, chunked=True)
    np.testing.assert_allclose(adata.X.toarray(), expected)


def test_means_that_tie_make_fewer_bins():
    values = np.tile(np.array([[0.0, 1, 0, 1, 0, 2]]), (30, 1))
    values[::2] += 1
    adata = AnnData(np.repeat(values, 5, axis=1))
    with pytest.raises(ValueError, match="unique"):
        sc.pp.highly_variable_genes(adata.copy(), flavor="cell_ranger", n_top_genes=5)
    pp.highly_variable_genes(adata, flavor="cell_ranger", n_top_genes=5)
    assert adata.var["highly_variable"].dtype == bool


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
    error = np.sqrt(target * share * (1 - share) / len(drawn))  # so few of so many: as good as with replacement
    assert (np.abs(drawn.mean(0) - target * share) <= 4 * error + 1e-9).all()
