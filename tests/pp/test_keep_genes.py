"""``keep_genes`` marks genes in addition to the variable ones, and changes nothing else."""

from __future__ import annotations

import json

import anndata
import numpy as np
import pandas as pd
import pytest
from helpers import SHARED
from peers import FLAVORS, adata_of

import scae
from scae import pp
from scae.cli import main
from scae.errors import ConfigError, MissingKeyError

MARKERS = [
    "CD3D",
    "CD3E",
    "CD4",
    "IL7R",
    "CCR7",
    "CD8A",
    "CD8B",
    "GNLY",
    "NKG7",
    "MS4A1",
    "CD79A",
    "CD14",
    "LYZ",
    "FCGR3A",
    "FCER1A",
]


def mostly_rare():
    adata = adata_of(n=300)
    x = adata.X.toarray()
    x[1:, 7] = 0
    x[0, 7] = 1  # one cell: removed by min_cells
    adata.X = x
    return adata


@pytest.mark.parametrize("flavor", FLAVORS)
@pytest.mark.parametrize("batch_key", [None, "batch"])
def test_the_others_are_marked_as_without(flavor, batch_key):
    adata, options = adata_of(n=300), {"flavor": flavor, "batch_key": batch_key, "n_top_genes": 30}
    if flavor in ("seurat", "cell_ranger"):
        pp.log1p(adata)
    plain = pp.highly_variable_genes(adata, inplace=False, **options)
    kept = [
        *adata.var_names[~plain["highly_variable"].to_numpy()][[0, 3]],
        adata.var_names[plain["highly_variable"].to_numpy()][0],
    ]
    table = pp.highly_variable_genes(adata, inplace=False, keep_genes=kept, **options)
    expected = plain["highly_variable"].to_numpy() | plain.index.isin(kept)
    assert table["highly_variable"].tolist() == expected.tolist()
    pd.testing.assert_frame_equal(table.drop(columns="highly_variable"), plain.drop(columns="highly_variable"))


@pytest.mark.parametrize("flavor", ["seurat", "seurat_v3"])
def test_recipe_file_and_shell_keep_the_same_genes(flavor, tmp_path, capsys):
    adata, options = mostly_rare(), {"flavor": flavor, "n_top_genes": 20, "min_genes": 0, "min_cells": 2, "percent_top": ()}
    rare = adata.var_names[7]
    adata.write_h5ad(tmp_path / "in.h5ad")
    pp.recipe(adata, keep_genes=[rare], **options)
    pp.preprocess_file(tmp_path / "in.h5ad", tmp_path / "out.h5ad", keep_genes=[rare], **options)
    words = f"--flavor {flavor} --n-top-genes 20 --min-genes 0 --min-cells 2 --percent-top --keep-genes {rare} --json".split()
    assert main(["preprocess", str(tmp_path / "in.h5ad"), str(tmp_path / "shell.h5ad"), *words]) == 0
    assert json.loads(capsys.readouterr().out)["highly_variable"] == adata.var["highly_variable"].sum()
    assert adata.var.loc[rare, "highly_variable"]
    assert adata.var["highly_variable"].sum() in (20, 21)  # alone among the lowest means, seurat may rank it high
    for name in ("out", "shell"):
        pd.testing.assert_series_equal(
            anndata.read_h5ad(tmp_path / f"{name}.h5ad").var["highly_variable"], adata.var["highly_variable"]
        )


def test_a_lone_name_is_one_gene_and_unknown_ones_are_all_named():
    adata = adata_of(n=100)
    before = adata.copy()
    name = adata.var_names[3]
    with pytest.raises(MissingKeyError, match=r"unknown gene 'nope'.*2 of the genes in keep_genes are not there: nope, none\."):
        pp.recipe(adata, keep_genes=["nope", name, "none"])
    with pytest.raises(ConfigError, match=r"keep_genes is 3\. Give names of genes"):
        pp.highly_variable_genes(adata, keep_genes=3)
    assert adata.obs.equals(before.obs)
    pp.recipe(adata, keep_genes=name, min_genes=0, n_top_genes=5)
    assert adata.var.loc[name, "highly_variable"]


def test_spikes_that_are_dropped_can_be_kept_by_name():
    adata = adata_of(n=300)
    x = adata.X.toarray()
    x[:, 5] = 0
    x[3, 5] = 200
    adata.X = x
    name = adata.var_names[5]
    for keep in ([], [name]):
        one = adata.copy()
        pp.recipe(one, min_genes=0, min_cells=0, n_top_genes=10, lone_spikes="drop", keep_genes=keep)
        assert one.var.loc[name, "lone_spike"]
        assert one.var.loc[name, "highly_variable"] == bool(keep)


@pytest.mark.shared
@pytest.mark.skipif(not (SHARED / "pbmc3k.h5ad").exists(), reason="needs the shared data")
def test_every_marker_of_pbmc3k_has_values_once_it_is_kept():
    adata = anndata.read_h5ad(SHARED / "pbmc3k.h5ad")[::4].copy()
    plain = adata.copy()
    pp.recipe(plain)
    pp.recipe(adata, keep_genes=MARKERS)
    assert not plain.var.loc[MARKERS, "highly_variable"].all()
    with pytest.warns(UserWarning, match=r"genes are not modelled and are NaN in layers\['denoised'\]"):
        scae.tl.denoise(adata, plan=scae.TrainPlan(max_steps=5, min_steps=5), layer="counts")
    assert np.isfinite(adata[:, MARKERS].layers["denoised"]).all()
