"""``calculate_qc_metrics`` gives the results of scanpy, and exact ones where those of scanpy are rounded."""

from __future__ import annotations

import numpy as np
import pytest
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData
from peers import adata_of, assert_twins, dtypes, grid, kinds

from scae import pp


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
