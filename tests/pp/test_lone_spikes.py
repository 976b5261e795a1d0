"""``lone_spikes="drop"`` gives the result for the data without these genes, however the counts are stored."""

from __future__ import annotations

import json

import anndata
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from anndata import AnnData
from peers import FLAVORS, KINDS, adata_of, assert_same
from storages import IN_MEMORY, LAZY, da

from scae import pp
from scae.cli import main
from scae.errors import ConfigError, CountsError, MissingKeyError

OF_LOGS = ("seurat", "cell_ranger")
both_ways = pytest.mark.parametrize("batch_key", [None, "batch"])


def spiky(kind: str = "csr", dtype: str = "float32") -> tuple[AnnData, np.ndarray]:
    """Counts, every ninth gene of which has a lone spike; and which genes do."""
    adata = adata_of(dtype=dtype, n=300, genes=150)
    x = adata.X.toarray()
    x[np.arange(0, 150, 9), np.arange(0, 150, 9)] = 10 + 5 * x[:, ::9].max(0)
    adata.X = (KINDS | IN_MEMORY | LAZY)[kind](x)
    return adata, lone_in(x)


def lone_in(x: np.ndarray) -> np.ndarray:
    second, first = np.sort(x, axis=0)[-2:].astype(float)
    return (first >= 10) & (first > 4 * second)


def logged(adata: AnnData) -> AnnData:
    adata.layers["counts"] = adata.X.copy()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    return adata


@pytest.mark.parametrize("flavor", [*FLAVORS, "seurat_v3_paper"])
@both_ways
@pytest.mark.parametrize("kind", ["csr", "dense"])
def test_genes_are_ranked_as_if_those_were_not_there(flavor, batch_key, kind):
    adata, lone = spiky(kind)
    adata = logged(adata) if flavor in OF_LOGS else adata
    others = adata[:, ~lone].copy()
    options = {"flavor": flavor, "batch_key": batch_key, "n_top_genes": 30}
    pp.highly_variable_genes(others, **options)
    table = pp.highly_variable_genes(adata, lone_spikes="drop", inplace=False, **options)
    pp.highly_variable_genes(adata, lone_spikes="drop", **options)
    assert 15 < lone.sum() < 40
    np.testing.assert_array_equal(adata.var["lone_spike"], lone)
    assert_same(adata.var.loc[~lone, others.var.columns], others.var)
    assert not adata.var["highly_variable"][lone].any()
    assert adata.var["means"][lone].isna().all()
    assert list(table.index) == list(adata.var_names)
    np.testing.assert_array_equal(table["highly_variable"], adata.var["highly_variable"])


@pytest.mark.parametrize("kind", [*IN_MEMORY, *LAZY])
def test_every_storage_gives_the_same(kind):
    if kind in LAZY and da is None:
        pytest.skip("dask is not installed")
    (adata, lone), (plain, _) = spiky(kind), spiky()
    for x in (adata, plain):
        pp.highly_variable_genes(x, flavor="seurat_v3", n_top_genes=30, lone_spikes="drop")
    np.testing.assert_array_equal(adata.var["lone_spike"], lone)
    pd.testing.assert_frame_equal(adata.var, plain.var, rtol=1e-6)


@pytest.mark.parametrize("flavor", FLAVORS)
@both_ways
def test_recipe_file_and_command_line_agree(flavor, batch_key, tmp_path):
    adata, _ = spiky(dtype="int64" if batch_key else "float32")
    source, target, by_command = (tmp_path / f"{name}.h5ad" for name in ("in", "out", "cli"))
    adata.write_h5ad(source)
    limits = {"min_genes": 20, "min_cells": 15, "n_top_genes": 30}
    options = {"flavor": flavor, "batch_key": batch_key, "lone_spikes": "drop"} | limits
    pp.recipe(adata, **options)
    pp.preprocess_file(source, target, **options)
    words = [w for name, value in options.items() if value for w in (f"--{name.replace('_', '-')}", str(value))]
    assert main(["preprocess", str(source), str(by_command), *words, "--quiet"]) == 0
    np.testing.assert_array_equal(adata.var["lone_spike"], lone_in(adata.layers["counts"].toarray()))
    assert adata.var["highly_variable"].sum() == 30
    assert not (adata.var["highly_variable"] & adata.var["lone_spike"]).any()
    for path in (target, by_command):
        pd.testing.assert_frame_equal(anndata.read_h5ad(path).var, adata.var, rtol=1e-5)


def test_backed(tmp_path):
    adata, lone = spiky()
    logged(adata).write_h5ad(tmp_path / "a.h5ad")
    backed = anndata.read_h5ad(tmp_path / "a.h5ad", backed="r+")
    for x in (adata, backed):
        pp.highly_variable_genes(x, n_top_genes=30, lone_spikes="drop")
    np.testing.assert_array_equal(backed.var["lone_spike"], lone)
    pd.testing.assert_frame_equal(backed.var, adata.var, rtol=1e-5)


def test_what_is_not_allowed():
    adata, _ = spiky()
    with pytest.raises(ConfigError, match="lone_spikes is 'leave'; allowed: 'keep' and 'drop'"):
        pp.highly_variable_genes(adata, lone_spikes="leave")
    with pytest.raises(ConfigError, match="lone_spikes is 'leave'"):
        pp.recipe(adata, lone_spikes="leave")
    with pytest.raises(MissingKeyError, match="key_counts"):
        pp.highly_variable_genes(logged(adata), lone_spikes="drop", key_counts="raw")
    alone = AnnData(np.diag([20.0] * 30).astype(np.float32) + 1)
    before = alone.copy()
    for verb, options in (
        (pp.recipe, {"min_genes": 0, "min_cells": 0}),
        (pp.highly_variable_genes, {"flavor": "seurat_v3"}),
    ):
        with pytest.raises(CountsError, match="each of the 30 genes has a lone spike"):
            verb(alone, lone_spikes="drop", **options)
    assert_same(alone, before)


def test_the_check_names_them(tmp_path, capsys):
    adata, lone = spiky()
    adata.write_h5ad(tmp_path / "a.h5ad")
    assert main(["check", str(tmp_path / "a.h5ad"), "--json"]) == 0
    (note,) = [f for f in json.loads(capsys.readouterr().out)["findings"] if "lone spike" in f["message"]]
    assert note["level"] == "note"
    assert f"gene: {lone.sum()} (" in note["message"]
