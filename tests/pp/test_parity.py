"""Every verb against scanpy's: options × kinds of matrix, results and what is left behind."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from peers import DTYPES, KINDS, adata_of, assert_same, assert_twins

from scae import pp

kinds = pytest.mark.parametrize("kind", KINDS)
dtypes = pytest.mark.parametrize("dtype", DTYPES)


def grid(**options):
    """All combinations of options, as dictionaries."""
    return [dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())]


@kinds
@dtypes
@pytest.mark.parametrize(
    "options",
    [
        *grid(inplace=[True, False], log1p=[True, False], qc_vars=[(), "mt", ["mt", "ribo"]], percent_top=[(10, 50), None]),
        {"percent_top": (5, 1, 5, 80), "expr_type": "reads", "var_type": "probes"},
        {"percent_top": (81,)},
        {"percent_top": (0, 5)},
        {"layer": "absent"},
    ],
    ids=str,
)
def test_quality(kind, dtype, options):
    options.setdefault("percent_top", (10,))
    assert_twins(pp.calculate_qc_metrics, sc.pp.calculate_qc_metrics, adata_of(kind, dtype), **options)


@kinds
@dtypes
@pytest.mark.parametrize("axis", ["cells", "genes"])
@pytest.mark.parametrize("limit", ["min_counts", "max_counts", "min_other", "max_other"])
def test_filters(kind, dtype, axis, limit):
    verb, peer = getattr(pp, f"filter_{axis}"), getattr(sc.pp, f"filter_{axis}")
    limit = limit.replace("other", "genes" if axis == "cells" else "cells")
    for options in grid(inplace=[True, False], copy=[True, False]):
        for bound in (0, 30):
            assert_twins(verb, peer, adata_of(kind, dtype), **{limit: bound}, **options)
    assert_twins(verb, peer, adata_of(kind, dtype), min_counts=1, max_counts=4)
    assert_twins(verb, peer, adata_of(kind, dtype))
    assert_same(verb(adata_of(kind, dtype).X, min_counts=20), peer(adata_of(kind, dtype).X, min_counts=20))


@kinds
@dtypes
def test_normalize_total(kind, dtype):
    options = grid(
        target_sum=[None, 1e4], exclude_highly_expressed=[True, False], inplace=[True, False], copy=[True, False],
        key_added=[None, "factor"], max_fraction=[0.1],
    )  # fmt: skip
    for chosen in [*options, {"max_fraction": 1.5}, {"layer": "absent"}]:
        assert_twins(pp.normalize_total, sc.pp.normalize_total, adata_of(kind, dtype), **chosen)


@kinds
@dtypes
def test_log1p(kind, dtype):
    adata = adata_of(kind, dtype)
    for options in grid(base=[None, 2], copy=[True, False], chunked=[True, False][not dtype.startswith("f") :]):
        assert_twins(pp.log1p, sc.pp.log1p, adata, **options)
    for options in grid(base=[None, 2], copy=[True, False]):
        assert_same(pp.log1p(adata.X.copy(), **options), sc.pp.log1p(adata.X.copy(), **options))
    with pytest.raises(TypeError):
        pp.log1p(adata.X, layer="counts")


@kinds
@dtypes
def test_scale(kind, dtype):
    mask = np.random.default_rng(2).random(120) < 0.4
    options = grid(zero_center=[True, False], max_value=[None, 1.0], mask_obs=[None, "mask", mask], copy=[True, False])
    for chosen in [*options, {"mask_obs": "absent"}, {"mask_obs": mask[:5]}, {"mask_obs": "batch"}]:
        assert_twins(pp.scale, sc.pp.scale, adata_of(kind, dtype), **chosen)


@kinds
@dtypes
def test_downsample_draws_the_same_counts(kind, dtype):
    targets = list(np.random.default_rng(3).integers(5, 60, 120))
    for common in grid(replace=[True, False], copy=[True, False], random_state=[0, 3]):
        for chosen in ({"counts_per_cell": 20}, {"counts_per_cell": targets}, {"total_counts": 500}, {"total_counts": 10**6}):
            assert_twins(pp.downsample_counts, sc.pp.downsample_counts, adata_of(kind, dtype), **chosen, **common)
    assert_twins(pp.downsample_counts, sc.pp.downsample_counts, adata_of(kind, dtype))
    assert_twins(pp.downsample_counts, sc.pp.downsample_counts, adata_of(kind, dtype), counts_per_cell=[1, 2])


@pytest.fixture(params=[(kind, dtype) for kind in KINDS for dtype in ("float32", "float64", "int64")], ids=str)
def both(request):
    """Counts, and their normalised logarithms."""
    raw = adata_of(*request.param, n=300, genes=150)
    logs = raw.copy()
    sc.pp.normalize_total(logs, target_sum=1e4)
    sc.pp.log1p(logs)
    return raw, logs


@pytest.mark.parametrize("flavor", ["seurat", "cell_ranger"])
@pytest.mark.parametrize("batch_key", [None, "batch"])
def test_variable_by_dispersion(both, flavor, batch_key):
    for options in grid(n_top_genes=[None, 30, 500], n_bins=[20, 5], inplace=[True, False]):
        mine, other = both[1].copy(), both[1].copy()
        ours = pp.highly_variable_genes(mine, flavor=flavor, batch_key=batch_key, **options)
        theirs = sc.pp.highly_variable_genes(other, flavor=flavor, batch_key=batch_key, **options)
        ours, theirs = (mine.var, other.var) if options["inplace"] else (ours, theirs)
        assert_same_but_for_ties(ours, theirs, "dispersions_norm")
        assert mine.uns == other.uns


def assert_same_but_for_ties(ours, theirs, score):
    """Equal tables; genes that rounding alone decides upon (a bin's median ± its spread, say) may be marked or not."""
    marks = [name for name in theirs if name.startswith("highly_variable")]
    assert list(ours.columns) == list(theirs.columns)
    assert (ours.dtypes == theirs.dtypes).all()
    assert_same(ours.drop(columns=marks), theirs.drop(columns=marks))
    differ = (ours[marks].fillna(-1) != theirs[marks].fillna(-1)).any(axis=1)
    assert differ.sum() <= 0.03 * len(ours), score


@pytest.mark.parametrize("flavor", ["seurat_v3", "seurat_v3_paper"])
def test_variable_by_loess(both, flavor):
    for options in grid(batch_key=[None, "batch"], n_top_genes=[None, 30], subset=[True, False], inplace=[True, False]):
        assert_twins(pp.highly_variable_genes, sc.pp.highly_variable_genes, both[0], flavor=flavor, **options)
    assert_twins(pp.highly_variable_genes, sc.pp.highly_variable_genes, both[0], flavor=flavor, span=0.6)


def test_variable_by_residuals(both):
    peer = sc.experimental.pp.highly_variable_genes
    for options in grid(batch_key=[None, "batch"], theta=[100, 1, np.inf], clip=[None, 3, np.inf], subset=[True, False]):
        assert_twins(
            lambda a, **o: pp.highly_variable_genes(a, flavor="pearson_residuals", **o), peer, both[0], n_top_genes=30, **options
        )
    for wrong in ({"theta": 0}, {"clip": -1}, {"n_top_genes": None}):
        options = {"n_top_genes": 30} | wrong
        assert_twins(lambda a, **o: pp.highly_variable_genes(a, flavor="pearson_residuals", **o), peer, both[0], **options)


@pytest.mark.parametrize("options", [{"flavor": "unknown"}, {"layer": "absent"}, {"min_disp": 1.0}], ids=str)
def test_variable_misuse(options):
    adata = adata_of()
    sc.pp.log1p(adata)
    assert_twins(pp.highly_variable_genes, sc.pp.highly_variable_genes, adata, **options)


def test_variable_wants_anndata():
    with pytest.raises(ValueError, match="expects an `AnnData`"):
        pp.highly_variable_genes(adata_of().X)


def test_warnings_are_scanpys():
    adata = adata_of(dtype="float64")
    adata.X = adata.X * 0.5
    with pytest.warns(UserWarning, match="expects raw count data"):
        pp.highly_variable_genes(adata, flavor="seurat_v3")
    with pytest.warns(UserWarning, match="all cutoffs are ignored"):
        pp.highly_variable_genes(adata, n_top_genes=5, min_mean=1)
    with pytest.warns(UserWarning, match="densifies"):
        pp.scale(adata.copy())
    with pytest.warns(FutureWarning, match="renamed"):
        pp.log1p(X=adata.X)
    with pytest.warns(UserWarning, match="view"):
        pp.log1p(adata[:5])


def test_old_positional_arguments_are_taken():
    mine, other = adata_of(), adata_of()
    pp.filter_cells(mine, 20)
    sc.pp.filter_cells(other, 20)
    assert_same(mine, other)


VERBS = {
    "calculate_qc_metrics": {"percent_top": (5,), "inplace": True},
    "filter_cells": {"min_genes": 20},
    "filter_genes": {"min_cells": 20},
    "normalize_total": {},
    "log1p": {},
    "scale": {"zero_center": False},
    "highly_variable_genes": {"flavor": "seurat_v3", "subset": True, "n_top_genes": 20},
}


@pytest.mark.parametrize("name", VERBS)
@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
def test_views_become_objects_and_their_parents_stay(name, kind):
    parent, mine, other = adata_of(kind), adata_of(kind), adata_of(kind)
    here, there = mine[::2, 5:], other[::2, 5:]
    getattr(pp, name)(here, **VERBS[name])
    getattr(sc.pp, name)(there, **VERBS[name])
    assert_same(here, there)
    assert_same(mine, parent)


@pytest.mark.parametrize("name", ["normalize_total", "log1p", "scale", "highly_variable_genes", "calculate_qc_metrics"])
def test_layers(name):
    adata = adata_of()
    adata.layers["counts"] = adata.X * 2
    options = VERBS[name] | ({"subset": False} if name == "highly_variable_genes" else {})
    assert_twins(getattr(pp, name), getattr(sc.pp, name), adata, layer="counts", **options)
    if name in ("log1p", "scale"):
        adata.obsm["counts"] = adata.X.toarray()
        assert_twins(getattr(pp, name), getattr(sc.pp, name), adata, obsm="counts", **options)


def test_layers_where_scanpy_has_none():
    adata = adata_of()
    adata.layers["double"] = adata.X * 2
    expected = adata.copy()
    expected.X = expected.layers["double"]
    for verb, options in ((pp.filter_cells, {"min_counts": 90}), (pp.filter_genes, {"max_counts": 200})):
        assert_same(verb(adata, layer="double", inplace=False, **options), verb(expected, inplace=False, **options))
    pp.downsample_counts(adata, 20, layer="double")
    pp.downsample_counts(expected, 20)
    assert_same(adata.layers["double"], expected.X)


small = arrays(np.int64, st.tuples(st.integers(1, 12), st.integers(1, 9)), elements=st.integers(0, 9) | st.just(300))


@given(small, st.sampled_from(list(KINDS)), st.sampled_from(DTYPES))
def test_made_matrices(values, kind, dtype):
    adata = AnnData(KINDS[kind](values.astype(dtype)))
    adata.var["set"] = np.arange(adata.n_vars) % 2 == 0
    options = {"qc_vars": ["set"], "percent_top": (1, adata.n_vars), "inplace": True}
    assert_twins(pp.calculate_qc_metrics, sc.pp.calculate_qc_metrics, adata, **options)
    assert_twins(pp.filter_genes, sc.pp.filter_genes, adata, min_counts=2, inplace=False)
    assert_twins(pp.filter_cells, sc.pp.filter_cells, adata, min_genes=1, inplace=False)
    assert_twins(pp.normalize_total, sc.pp.normalize_total, adata, target_sum=10)
    assert_twins(pp.log1p, sc.pp.log1p, adata, base=10)
    assert_twins(pp.scale, sc.pp.scale, adata, zero_center=False, max_value=2)
    assert_twins(pp.downsample_counts, sc.pp.downsample_counts, adata, counts_per_cell=3)


def test_int64_indices_and_sparse_arrays_are_like_any_other():
    adata = adata_of(n=60)
    wide, array = adata.copy(), adata.copy()
    wide.X.indices, wide.X.indptr = wide.X.indices.astype(np.int64), wide.X.indptr.astype(np.int64)
    array.X = sp.csr_array(adata.X)
    for other in (wide, array):
        mine, theirs = other.copy(), adata.copy()
        for a in (mine, theirs):
            pp.recipe(a, min_genes=5, n_top_genes=20, percent_top=())
        np.testing.assert_array_equal(mine.X.toarray(), theirs.X.toarray())
        pd.testing.assert_frame_equal(mine.var, theirs.var)
        assert type(mine.X) is type(other.X)
