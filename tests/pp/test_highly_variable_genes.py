"""``highly_variable_genes`` gives the results of scanpy, and sensible ones where scanpy fails."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from peers import FLAVORS, KINDS, adata_of, assert_same, assert_twins, grid

from scae import pp
from scae.errors import ConfigError, CountsError, MissingKeyError


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
    # where all dispersions in a bin are equal, scanpy divides rounding noise by its own spread
    assert differ.sum() <= 0.08 * len(ours), score


@pytest.mark.parametrize("flavor", ["seurat_v3", "seurat_v3_paper"])
def test_seurat_v3_flavours_give_the_results_of_scanpy(both, flavor):
    for options in grid(batch_key=[None, "batch"], n_top_genes=[None, 30], subset=[True, False], inplace=[True, False]):
        assert_twins(pp.highly_variable_genes, sc.pp.highly_variable_genes, both[0], flavor=flavor, **options)
    assert_twins(pp.highly_variable_genes, sc.pp.highly_variable_genes, both[0], flavor=flavor, span=0.6)


def test_pearson_residuals_give_the_results_of_scanpy(both):
    peer = sc.experimental.pp.highly_variable_genes
    every = grid(batch_key=[None, "batch"], theta=[100, 1, np.inf], clip=[None, 3, np.inf], subset=[True, False])
    for options in every:
        if options["batch_key"] and options["clip"] is None:
            continue  # scanpy clips all batches at the root of the size of the batch whose name sorts first
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
    with pytest.raises(ValueError, match="needs an AnnData object"):
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


def test_each_batch_is_clipped_at_the_root_of_its_own_size():
    """Lause 2021; the oracle is scanpy on each batch alone, and the batches have very different sizes."""
    adata = adata_of(n=301, genes=150)
    adata.obs["batch"] = ["a"] * 11 + ["b"] * 140 + ["c"] * 150
    alone = []
    for name in "abc":
        part = adata[adata.obs["batch"] == name].copy()
        sc.experimental.pp.highly_variable_genes(part, flavor="pearson_residuals", n_top_genes=30)
        alone.append(part.var["residual_variances"])
    pp.highly_variable_genes(adata, flavor="pearson_residuals", n_top_genes=30, batch_key="batch")
    np.testing.assert_allclose(adata.var["residual_variances"], np.mean(alone, axis=0), rtol=1e-5)


@pytest.mark.parametrize("flavor", FLAVORS)
@given(names=st.permutations(["k", "B", "10", "9", "é"]), seed=st.integers(0, 9))
def test_names_of_batches_and_order_of_cells_do_not_matter(flavor, names, seed):
    adata = adata_of("csr", "float64", n=200, genes=60)
    rng = np.random.default_rng(seed)
    if flavor in ("seurat", "cell_ranger"):
        sc.pp.log1p(adata)
    code = np.r_[0, rng.integers(1, 5, 199)]  # the first batch has one cell
    adata.obs["batch"] = np.array(["1", "2", "3", "4", "5"])[code]
    other = adata.copy()
    other.obs["batch"] = np.array(names)[code]
    other = other[rng.permutation(200)].copy()
    tables = [
        pp.highly_variable_genes(a, flavor=flavor, n_top_genes=15, batch_key="batch", inplace=False) for a in (adata, other)
    ]
    pd.testing.assert_frame_equal(*tables)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_cells_without_a_batch_are_refused(flavor):
    adata = adata_of(n=200)
    adata.obs["batch"] = adata.obs["batch"].astype(object).where(adata.obs["batch"] != "z")
    missing, before = int(adata.obs["batch"].isna().sum()), adata.copy()
    with pytest.raises(CountsError, match=rf"obs\['batch'\] has {missing} missing values"):
        pp.highly_variable_genes(adata, flavor=flavor, n_top_genes=20, batch_key="batch")
    assert_same(adata, before)


@pytest.mark.parametrize("flavor", ["seurat", "cell_ranger"])
@pytest.mark.parametrize("limits", [{}, {"n_top_genes": 20}], ids=str)
def test_genes_of_one_name_are_kept_apart(flavor, limits):
    adata = adata_of(n=200)
    sc.pp.log1p(adata)
    repeated = adata.copy()
    repeated.var_names = [f"g{i // 2}" for i in range(80)]
    for a in (adata, repeated):
        pp.highly_variable_genes(a, flavor=flavor, batch_key="batch", **limits)
    for name in ("means", "dispersions", "dispersions_norm", "highly_variable_nbatches"):
        np.testing.assert_array_equal(repeated.var[name], adata.var[name])
    assert list(repeated.var_names) == [f"g{i // 2}" for i in range(80)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_top_genes": 0}, {"n_top_genes": -3}, {"n_top_genes": 2.5}, {"n_top_genes": True}, {"span": 0}, {"span": np.nan},
        {"n_bins": 0}, {"flavor": "pearson_residuals", "n_top_genes": 5, "theta": np.nan}, {"flavor": ["seurat"]},
    ],
    ids=str,
)  # fmt: skip
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=r"Give|Choose"):
        pp.highly_variable_genes(adata_of(), **wrong)


def test_an_unknown_batch_key_is_refused_with_the_nearest_name():
    with pytest.raises(MissingKeyError, match="did you mean 'batch'"):
        pp.highly_variable_genes(adata_of(), batch_key="bach")


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
