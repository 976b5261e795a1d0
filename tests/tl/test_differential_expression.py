"""Differential expression of AnnData: what is found, what is written, and what is refused."""

from __future__ import annotations

import json
import warnings

import anndata
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData
from helpers import SHARED
from scipy.stats import false_discovery_control

import scae
from scae.errors import ConfigError, CountsError, MissingKeyError
from scae.tl._shrinkage import shrink

from .groups import groups as simulated

KNOWN = {"from_counts": False}


def test_genes_of_a_group_come_first():
    adata = simulated((60, 50, 40))
    for options in ({}, KNOWN):
        table = scae.tl.differential_expression(adata, "group", overwrite=True, **options)
        for i, group in enumerate("ABC"):
            rows = table[table["group"] == group]
            assert set(rows["names"].head(10)) == {str(g) for g in range(10 * i, 10 * i + 10)}
            assert (rows["pvals_adj"].head(10) < 1e-6).all()
            assert (rows["logfoldchanges"].head(10) > 1).all()
            assert (rows["lfsr"].head(10) < 1e-6).all()


def test_the_table_is_what_scanpy_reads(pbmc):
    before, record = pbmc.X.copy(), dict(pbmc.uns.get("scae", {}))
    table = scae.tl.differential_expression(pbmc, "bulk_labels", groups=["CD19+ B", "Dendritic"], **KNOWN)
    assert (before != pbmc.X).nnz == 0
    assert "scae" not in record
    names = ["names", "scores", "logfoldchanges", "pvals", "pvals_adj"]
    for group in ("CD19+ B", "Dendritic"):
        mine = table[table["group"] == group].reset_index(drop=True)
        theirs = sc.get.rank_genes_groups_df(pbmc, group)
        known = mine["pvals"].notna()
        assert mine["names"].tolist() == theirs["names"].tolist()
        np.testing.assert_allclose(theirs.loc[known, names[1:]], mine.loc[known, names[1:]], rtol=1e-6, atol=1e-12)
        assert (theirs.loc[~known, "pvals"] == 1).all()
        adjusted = false_discovery_control(mine.loc[known, "pvals"])
        np.testing.assert_allclose(mine.loc[known, "pvals_adj"], adjusted)
        assert mine.loc[known, "scores"].is_monotonic_decreasing
    written = json.loads(pbmc.uns["scae"]["written"]["uns['rank_genes_groups']"])
    assert written["verb"] == "differential_expression"
    assert written["groupby"] == "bulk_labels"


def test_the_layout_is_that_of_scanpy_and_outlives_a_file(pbmc, tmp_path):
    scae.tl.differential_expression(pbmc, "bulk_labels", **KNOWN)
    peer = pbmc.copy()
    sc.pp.log1p(peer)
    sc.tl.rank_genes_groups(peer, "bulk_labels", method="t-test")
    mine, theirs = pbmc.uns["rank_genes_groups"], peer.uns["rank_genes_groups"]
    assert set(mine) <= set(theirs)
    assert {"groupby", "reference", "method", "use_raw", "layer"} <= set(mine["params"])
    for field in mine.keys() - {"params"}:
        assert mine[field].dtype.names == theirs[field].dtype.names
        assert mine[field].shape == theirs[field].shape
    pbmc.write_h5ad(tmp_path / "a.h5ad")
    again = anndata.read_h5ad(tmp_path / "a.h5ad")
    first, second = (sc.get.rank_genes_groups_df(a, None) for a in (pbmc, again))
    pd.testing.assert_frame_equal(first, second)


def test_scanpys_plots_show_it(pbmc):
    import matplotlib as mpl

    mpl.use("Agg")
    scae.tl.differential_expression(pbmc, "bulk_labels", **KNOWN)
    sc.pp.log1p(pbmc)
    sc.pl.rank_genes_groups(pbmc, n_genes=3, show=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # matplotlib and scanpy, on labels
        sc.pl.rank_genes_groups_dotplot(pbmc, n_genes=3, dendrogram=False, values_to_plot="logfoldchanges", show=False)
        sc.pl.rank_genes_groups_violin(pbmc, groups="Dendritic", n_genes=3, show=False)


def test_the_fold_change_is_shrunk_from_the_estimate(pbmc):
    table = scae.tl.differential_expression(pbmc, "bulk_labels", groups="CD19+ B", **KNOWN)
    expected = shrink(table["estimate"].to_numpy() * np.log(2), table["se"].to_numpy() * np.log(2))
    np.testing.assert_allclose(table["logfoldchanges"], expected.mean / np.log(2), rtol=1e-9)
    np.testing.assert_allclose(table["sd"], expected.sd / np.log(2), rtol=1e-9)
    size = np.asarray(pbmc.X.sum(1)).ravel()
    inside = (pbmc.obs["bulk_labels"] == "CD19+ B").to_numpy()
    rate = [np.asarray(pbmc.X[m].sum(0)).ravel() / size[m].sum() for m in (inside, ~inside)]
    common = pbmc.var_names[(rate[0] > 5e-4) & (rate[1] > 5e-4)]
    plain = pd.Series(np.log2(np.maximum(rate[0], 1e-9) / np.maximum(rate[1], 1e-9)), pbmc.var_names)[common]
    assert np.abs(table.set_index("names")["estimate"][common] - plain).median() < 0.1


@pytest.mark.parametrize("form", [sp.csc_matrix, sp.csr_array, np.asarray])
def test_the_storage_and_the_order_of_cells_do_not_matter(pbmc, form):
    dense = np.asarray(pbmc.X.todense())
    expected = scae.tl.differential_expression(pbmc, "bulk_labels", groups=["Dendritic"], **KNOWN)
    order = np.random.default_rng(0).permutation(pbmc.n_obs)
    other = AnnData(form(dense[order]), obs=pbmc.obs.iloc[order], var=pbmc.var[[]])
    found = scae.tl.differential_expression(other, "bulk_labels", groups=["Dendritic"], **KNOWN)
    columns = found.columns.drop(["group", "names"])
    both = [t.set_index("names").loc[pbmc.var_names, columns] for t in (found, expected)]
    np.testing.assert_allclose(*both, rtol=1e-6, atol=1e-9)


def test_one_against_one_leaves_the_others_out(pbmc):
    pair = pbmc.obs["bulk_labels"].isin(["CD19+ B", "Dendritic"])
    options = {"groups": "CD19+ B", "reference": "Dendritic", "overwrite": True, "size_factor": "size"} | KNOWN
    pbmc.obs["size"] = np.asarray(pbmc.X.sum(1)).ravel()
    alone = scae.tl.differential_expression(pbmc[pair].copy(), "bulk_labels", **options)
    pbmc.obs["bulk_labels"] = pbmc.obs["bulk_labels"].where(pair)
    missing = scae.tl.differential_expression(pbmc, "bulk_labels", **options)
    pd.testing.assert_frame_equal(alone, missing)
    back = scae.tl.differential_expression(pbmc, "bulk_labels", **options | {"groups": "Dendritic", "reference": "CD19+ B"})
    np.testing.assert_allclose(back["scores"].dropna()[::-1], -alone["scores"].dropna(), atol=1e-6)


def test_batches_donors_and_masks(pbmc):
    pbmc.var["some"] = np.arange(pbmc.n_vars) % 2 == 0
    options = {"groups": "Dendritic", "overwrite": True, "mask_var": "some"} | KNOWN
    plain = scae.tl.differential_expression(pbmc, "bulk_labels", **options)
    assert set(plain["names"]) == set(pbmc.var_names[pbmc.var["some"]])
    batch = scae.tl.differential_expression(pbmc, "bulk_labels", batch_key="batch", categorical_covariates="donor", **options)
    donor = scae.tl.differential_expression(pbmc, "bulk_labels", replicate_key="donor", **options)
    for other in (batch, donor):
        assert np.corrcoef(*(t.set_index("names")["scores"].fillna(0)[plain["names"]] for t in (plain, other)))[0, 1] > 0.8
        assert not np.allclose(other["scores"], plain["scores"], equal_nan=True)


def test_the_same_seed_gives_the_same_and_groups_that_genes_do_not_tell_are_warned_of(pbmc):
    first = scae.tl.differential_expression(pbmc, "bulk_labels", groups="Dendritic")
    again = scae.tl.differential_expression(pbmc, "bulk_labels", groups="Dendritic")
    pd.testing.assert_frame_equal(first, again)
    with pytest.warns(UserWarning, match="from_counts=False"):
        scae.tl.differential_expression(pbmc, "batch", overwrite=True)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"groupby": "cluster"}, MissingKeyError, "unknown obs column 'cluster'"),
        ({"groups": ["B"]}, MissingKeyError, "unknown group 'B'"),
        ({"reference": "others"}, MissingKeyError, "unknown group 'others'"),
        ({"groups": "Dendritic", "reference": "Dendritic"}, ConfigError, "two groups or more"),
        ({"groupby": "batch", "batch_key": "batch"}, ConfigError, "also a batch"),
        ({"groupby": "pair", "batch_key": "batch"}, ConfigError, "shares no batch"),
        ({"groupby": "pair", "replicate_key": "batch"}, ConfigError, "too few replicates"),
        ({"groupby": "lone"}, ConfigError, "has 1 cells"),
        ({"replicate_key": "nobody"}, MissingKeyError, "unknown obs column 'nobody'"),
        ({"random_state": -1}, ConfigError, "random_state is -1"),
        ({"from_counts": "no"}, ConfigError, "from_counts is 'no'"),
        ({"mask_var": "few"}, ConfigError, "there are 5 genes"),
        ({"key_added": "taken"}, ConfigError, "is there already"),
        ({"layer": "logged"}, CountsError, "logged"),
        ({"label_key": "batch"}, TypeError, "unexpected keyword argument 'label_key'"),
    ],
)
def test_what_is_refused_before_anything_changes(pbmc, options, error, said):
    pbmc.obs["pair"] = pbmc.obs["batch"].astype(str).map({"east": "one", "west": "two"})
    pbmc.obs["lone"] = np.where(np.arange(pbmc.n_obs) == 0, "one", "rest")
    pbmc.var["few"] = np.arange(pbmc.n_vars) < 5
    pbmc.layers["logged"] = pbmc.X.log1p()
    pbmc.uns["taken"] = {}
    before = set(pbmc.uns)
    with pytest.raises(error, match=said):
        scae.tl.differential_expression(pbmc, **{"groupby": "bulk_labels"} | options)
    assert set(pbmc.uns) == before


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data")
def test_markers_of_real_cell_types():
    adata = anndata.read_h5ad(SHARED / "pbmc3k.h5ad")
    table = scae.tl.differential_expression(adata, "cell_type", groups=["B", "NK"])
    best = table[table["scores"] > 0].groupby("group")["names"].apply(lambda names: set(names.head(15)))
    assert {"CD79A", "MS4A1"} <= best["B"]
    assert {"NKG7", "GNLY"} <= best["NK"]
