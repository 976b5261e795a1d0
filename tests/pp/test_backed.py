"""Verbs that only read a matrix accept backed ones; the others refuse them."""

from __future__ import annotations

import anndata
import pytest
from peers import adata_of, assert_same, stored

from scae import pp


def test_backed_matrices_give_the_results_of_memory_or_are_refused(tmp_path):
    adata = adata_of(n=300)
    backed = anndata.read_h5ad(stored(tmp_path, adata, "h5ad"), backed="r")
    assert_same(pp.calculate_qc_metrics(backed, percent_top=(5,)), pp.calculate_qc_metrics(adata, percent_top=(5,)))
    for flavor in ("seurat", "seurat_v3", "pearson_residuals"):
        options = {"flavor": flavor, "n_top_genes": 9, "batch_key": "batch", "inplace": False}
        assert_same(pp.highly_variable_genes(backed, **options), pp.highly_variable_genes(adata, **options))
    assert_same(pp.rank_by_deviance(backed, inplace=False), pp.rank_by_deviance(adata, inplace=False))
    for verb in (pp.filter_cells, pp.filter_genes):
        with pytest.raises(NotImplementedError):
            verb(backed, min_counts=1)
    for verb in (pp.scale, pp.log1p, pp.downsample_counts, pp.thin_counts):
        with pytest.raises(NotImplementedError):
            verb(backed)
