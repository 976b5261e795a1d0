"""``calculate_qc_metrics`` gives the results of scanpy, and exact ones where those of scanpy are rounded."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData
from peers import adata_of, assert_twins, dense, dtypes, grid, kinds
from test_scale import MASKS

from scae import pp
from scae.errors import ConfigError, MissingKeyError


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
def test_results_are_those_of_scanpy(kind, dtype, options):
    options.setdefault("percent_top", (10,))
    assert_twins(pp.calculate_qc_metrics, sc.pp.calculate_qc_metrics, adata_of(kind, dtype), **options)


def test_means_of_counts_beyond_the_precision_of_float32_are_exact():
    x = np.full((20, 2), 2**20 + 1, "float32")
    _, genes = pp.calculate_qc_metrics(AnnData(sp.csr_matrix(x)), percent_top=None)
    assert (genes["mean_counts"] == 2**20 + 1).all()


def test_boolean_values_count_as_0_and_1():
    adata = AnnData(sp.csr_matrix(adata_of().X.toarray() > 0))
    cells, _ = pp.calculate_qc_metrics(adata, percent_top=(5,))
    assert (cells["total_counts"] == cells["n_genes_by_counts"]).all()


@pytest.mark.parametrize("form", MASKS)
@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
def test_sets_of_genes_in_any_form_are_read_as_booleans(form, kind):
    """Scanpy takes 0 and 1 for the positions of genes."""
    adata = adata_of(kind)
    chosen = np.arange(80) % 7 == 2
    adata.var["set"] = MASKS[form](chosen)
    cells, _ = pp.calculate_qc_metrics(adata, qc_vars="set", percent_top=None)
    np.testing.assert_array_equal(cells["total_counts_set"], dense(adata.X)[:, chosen].sum(1))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([2, *[0] * 79], r"var\['set'\] must be boolean.*such as 2"),
        (["MT", *["no"] * 79], r"var\['set'\] must be boolean.*such as 'MT'"),
        ([np.nan, *[1.0] * 79], r"var\['set'\] has 1 missing values"),
        (pd.array([None, *[True] * 79], dtype="boolean"), r"var\['set'\] has 1 missing values"),
    ],
    ids=["positions", "text", "NaN", "nullable"],
)
def test_other_columns_are_refused_by_name(column, message):
    adata = adata_of()
    adata.var["set"] = column
    with pytest.raises(ConfigError, match=message):
        pp.calculate_qc_metrics(adata, qc_vars=["set"], percent_top=None)


def test_an_unknown_set_and_a_raw_of_other_genes_are_refused():
    adata = adata_of()
    with pytest.raises(MissingKeyError, match="unknown var column 'mito'"):
        pp.calculate_qc_metrics(adata, qc_vars=["mito"], percent_top=None)
    with pytest.raises(ConfigError, match="raw is None"):
        pp.calculate_qc_metrics(adata, use_raw=True)
    adata.raw = adata.copy()
    with pytest.raises(ConfigError, match="80 genes and adata has 9"):
        pp.calculate_qc_metrics(adata[:, :9].copy(), use_raw=True)
