"""Verbs that only read a matrix accept backed ones; the others refuse them."""

from __future__ import annotations

import anndata
import pytest
from peers import adata_of, assert_same, stored

from scae import pp
from scae.errors import ConfigError, ScaeError


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


CHANGING = {
    "normalize_total": pp.normalize_total,
    "log1p": pp.log1p,
    "scale": pp.scale,
    "downsample_counts": lambda a: pp.downsample_counts(a, 5),
    "thin_counts": pp.thin_counts,
    "recipe": pp.recipe,
    "filter_cells": lambda a: pp.filter_cells(a, min_genes=1),
    "filter_genes": lambda a: pp.filter_genes(a, min_cells=1),
    "highly_variable_genes": lambda a: pp.highly_variable_genes(a, flavor="seurat_v3", n_top_genes=5, subset=True),
    "rank_by_deviance": lambda a: pp.rank_by_deviance(a, n_top_genes=5, subset=True),
}


@pytest.mark.parametrize("name", CHANGING)
@pytest.mark.parametrize("part", [slice(None), slice(0, 50)], ids=["whole", "view"])
def test_verbs_that_change_a_matrix_say_what_to_do_instead(tmp_path, name, part):
    """The error is one of scae, and a NotImplementedError as in scanpy."""
    backed = anndata.read_h5ad(stored(tmp_path, adata_of(), "h5ad"), backed="r")
    given = backed if part == slice(None) else backed[part]
    with pytest.raises(NotImplementedError, match=r"to_memory.*scae preprocess") as raised:
        CHANGING[name](given)
    assert isinstance(raised.value, ScaeError)


@pytest.mark.parametrize("name", [*CHANGING, "calculate_qc_metrics", "size_factors"])
@pytest.mark.parametrize("wrong", [None, "counts.h5ad", [[1.0]]], ids=str)
def test_what_is_not_anndata_is_named(name, wrong):
    verb = CHANGING.get(name) or getattr(pp, name)
    with pytest.raises(ConfigError, match=f"{name} needs an AnnData object.*{type(wrong).__name__}"):
        verb(wrong)


def test_integers_in_a_file_are_not_replaced_by_logarithms(tmp_path):
    backed = anndata.read_h5ad(stored(tmp_path, adata_of(dtype="int32"), "h5ad"), backed="r+")
    with pytest.raises(ScaeError, match="int32"):
        pp.log1p(backed, chunked=True)
