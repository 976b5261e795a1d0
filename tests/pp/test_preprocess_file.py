"""``preprocess_file`` and ``scae preprocess`` write the result of the recipe to a file, in bounded memory."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from helpers import PEAK
from peers import LIMITS, adata_of, assert_recipes_agree, assert_same, read, recipe_by_scanpy, stored
from test_recipe import NOT_COUNTS, WRONG

from scae import pp
from scae.cli import preprocess as command
from scae.errors import ConfigError, CountsError, ModelFileError

ROOT = Path(__file__).parents[2]
PBMC = ROOT.parent / "shared" / "data" / "pbmc3k.h5ad"

MEMORY = """
import sys
import numpy as np, h5py
from scae import pp
path, out, n, k, genes = sys.argv[1], sys.argv[2], int(sys.argv[3]), 60, 2000
rng = np.random.default_rng(0)
columns = np.sort(np.argsort(rng.random((1000, genes)), axis=1)[:, :k], axis=1).astype(np.int32)
with h5py.File(path, "w") as f:
    f.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    x = f.create_group("X")
    x.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [n, genes]})
    for name, dtype in (("indices", np.int32), ("data", np.float32)):
        x.create_dataset(name, (n * k,), dtype, chunks=(1 << 18,))
        for a in range(0, n, 1000):
            part = columns if name == "indices" else rng.integers(1, 9, columns.shape)
            x[name][a * k : (a + 1000) * k] = part.ravel().astype(dtype)
    x["indptr"] = np.arange(n + 1, dtype=np.int64) * k
    import pandas as pd
    from anndata.io import write_elem
    write_elem(f, "obs", pd.DataFrame(index=np.arange(n).astype(str)))
    write_elem(f, "var", pd.DataFrame(index=np.arange(genes).astype(str)))
print(pp.preprocess_file(path, out, min_genes=10, max_memory=1 << 30)["cells"])
print(PEAK >> 20)
""".replace("PEAK", PEAK)


@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
@pytest.mark.parametrize(("source", "target"), [("h5ad", "h5ad"), ("zarr", "zarr"), ("h5ad", "zarr")])
@pytest.mark.parametrize("flavor", ["seurat", "seurat_v3"])
def test_the_result_is_that_of_the_recipe(tmp_path, monkeypatch, kind, source, target, flavor):
    monkeypatch.setattr("scae.pp._preprocess_file._BLOCKS_ALIVE", 10**5)  # blocks of a few rows
    adata = adata_of(kind, n=300)
    adata.obsm["place"], adata.varm["loading"], adata.uns["source"] = np.arange(600.0).reshape(300, 2), np.ones((80, 3)), "here"
    path, out = stored(tmp_path, adata, source), tmp_path / f"out.{target}"
    options = {"flavor": flavor, "n_top_genes": 30, "qc_vars": ["mt"], "target_sum": None if kind == "csc" else 1e4} | LIMITS
    for _ in range(2):  # the second run replaces the result of the first
        summary = pp.preprocess_file(path, out, **options)
    pp.recipe(adata, **options)
    result = read(out)
    assert_recipes_agree(result, adata)
    assert_same(result.obsm["place"], adata.obsm["place"])
    assert result.varm["loading"].shape == adata.varm["loading"].shape
    assert result.uns["source"] == "here"
    assert summary["cells"] == [300, result.n_obs]
    assert summary["genes"] == [80, result.n_vars]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([path.name, out.name])


def test_columns_in_any_order_are_read(tmp_path):
    """The file pbmc68k_reduced of scanpy has unsorted columns; the result is that of the sorted matrix."""
    adata = adata_of("csr", n=300)
    path, results = stored(tmp_path, adata, "h5ad"), []
    for name in ("in order", "reversed"):
        x = adata.X.copy()
        if name == "reversed":
            turned = np.concatenate([np.arange(a, b)[::-1] for a, b in itertools.pairwise(x.indptr)])
            x = sp.csr_matrix((x.data[turned], x.indices[turned], x.indptr), x.shape)
            assert not x.has_sorted_indices
        anndata.AnnData(x, obs=adata.obs, var=adata.var).write_h5ad(path)
        pp.preprocess_file(path, tmp_path / "out.h5ad", n_top_genes=30, qc_vars=["mt"], **LIMITS)
        results.append(read(tmp_path / "out.h5ad"))
    assert_recipes_agree(*results)


def test_an_error_leaves_the_old_file_unchanged(tmp_path):
    adata = adata_of()
    path, out = stored(tmp_path, adata, "h5ad"), tmp_path / "out.h5ad"
    out.write_text("precious")
    with pytest.raises(KeyError):
        pp.preprocess_file(path, out, qc_vars=["absent"])
    assert out.read_text() == "precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.h5ad", "out.h5ad"]


def test_wrong_options_raise(tmp_path):
    path = stored(tmp_path, adata_of(), "h5ad")
    with pytest.raises(ConfigError, match="another file"):
        pp.preprocess_file(path, path)
    with pytest.raises(ConfigError, match="1G"):
        pp.preprocess_file(path, tmp_path / "out.h5ad", max_memory=1000)
    with pytest.raises(ModelFileError, match="there is no file"):
        pp.preprocess_file(tmp_path / "absent.h5ad", tmp_path / "out.h5ad")
    AnnData(shape=(3, 2)).write_h5ad(tmp_path / "empty.h5ad")
    with pytest.raises(CountsError, match="has no 'X'"):
        pp.preprocess_file(tmp_path / "empty.h5ad", tmp_path / "out.h5ad")


def test_no_cell_left_raises_and_writes_no_file(tmp_path):
    AnnData(sp.csr_matrix(np.eye(5, dtype=np.float32))).write_h5ad(tmp_path / "in.h5ad")
    with pytest.raises(CountsError, match="lower min_genes"):
        pp.preprocess_file(tmp_path / "in.h5ad", tmp_path / "out.h5ad", percent_top=())
    assert [path.name for path in tmp_path.iterdir()] == ["in.h5ad"]


@pytest.mark.parametrize("name", WRONG)
def test_wrong_options_are_refused_as_by_the_recipe(tmp_path, name):
    options, error, message = WRONG[name]
    adata = adata_of()
    adata.obs["gaps"] = [None] * 100 + ["x"] * 20
    path = stored(tmp_path, adata, "h5ad")
    with pytest.raises(error, match=message):
        pp.preprocess_file(path, tmp_path / "out.h5ad", **{"min_genes": 1, "min_cells": 1} | options)
    assert [p.name for p in tmp_path.iterdir()] == ["in.h5ad"]


@pytest.mark.parametrize("name", NOT_COUNTS)
@pytest.mark.parametrize("blocks", [1, 10**5])
def test_values_that_are_not_counts_are_refused_as_by_the_recipe(tmp_path, monkeypatch, name, blocks):
    monkeypatch.setattr("scae.pp._preprocess_file._BLOCKS_ALIVE", blocks)
    adata = adata_of("csr", "float64")
    NOT_COUNTS[name](adata)
    path, said = stored(tmp_path, adata, "h5ad"), []
    with pytest.raises(CountsError) as raised:
        pp.preprocess_file(path, tmp_path / "out.h5ad", min_genes=0, min_cells=0)
    said.append(str(raised.value))
    with pytest.raises(CountsError) as raised:
        pp.recipe(adata, min_genes=0, min_cells=0)
    said.append(str(raised.value))
    assert said[0] == said[1] if blocks == 1 else "(cells 0 to " in said[0]
    assert [p.name for p in tmp_path.iterdir()] == ["in.h5ad"]


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "float64"])
def test_counts_keep_their_dtype_and_every_bit(tmp_path, dtype):
    adata = adata_of("csr", dtype, n=300)
    if dtype in ("int32", "int64", "float64"):
        adata.X.data[::5] += 2**24 + 1
    path, out = stored(tmp_path, adata, "h5ad"), tmp_path / "out.h5ad"
    pp.preprocess_file(path, out, n_top_genes=30, **LIMITS)
    pp.recipe(adata, n_top_genes=30, **LIMITS)
    result = read(out)
    assert result.layers["counts"].dtype == adata.layers["counts"].dtype == dtype
    assert (result.layers["counts"] != adata.layers["counts"]).nnz == 0


@pytest.mark.parametrize("wrong", [None, 3, adata_of(n=5)], ids=["None", "number", "AnnData"])
def test_what_is_not_a_path_is_refused(tmp_path, wrong):
    with pytest.raises(ConfigError, match="needs paths of files"):
        pp.preprocess_file(wrong, tmp_path / "out.h5ad")


def test_a_truncated_file_is_named(tmp_path):
    whole, cut = tmp_path / "whole.h5ad", tmp_path / "cut.h5ad"
    AnnData(sp.csr_matrix(np.eye(5, dtype=np.float32))).write_h5ad(whole)
    cut.write_bytes(whole.read_bytes()[:2000])
    with pytest.raises(ModelFileError, match=r"cut\.h5ad cannot be read .*whole h5ad file"):
        pp.preprocess_file(cut, tmp_path / "out.h5ad")
    assert not (tmp_path / "out.h5ad").exists()


def parsed(*words: str) -> argparse.Namespace:
    """Parse the arguments of ``scae preprocess``."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


def test_the_command_returns_a_summary(tmp_path):
    path, out = stored(tmp_path, adata_of(n=300), "h5ad"), tmp_path / "out.h5ad"
    options = ("--min-genes", "20", "--min-cells", "15", "--n-top-genes", "30", "--qc-vars", "mt", "--target-sum", "median")
    summary = command.run(parsed(str(path), str(out), "--max-memory", "2G", *options))
    assert json.loads(json.dumps(summary)) == summary
    expected = recipe_by_scanpy(adata_of(n=300), target_sum=None)
    assert_recipes_agree(read(out), expected)
    with pytest.raises(ConfigError, match="2G"):
        command.run(parsed(str(path), str(out), "--max-memory", "much"))


@pytest.mark.skipif(not PBMC.exists(), reason="no real counts beside the repository")
def test_real_counts(tmp_path):
    out = tmp_path / "out.h5ad"
    command.run(parsed(str(PBMC), str(out), "--percent-top", "50"))
    expected = recipe_by_scanpy(anndata.read_h5ad(PBMC), n_top_genes=2000, min_genes=200, min_cells=3, qc_vars=())
    assert_recipes_agree(read(out), expected)


@pytest.mark.slow
def test_memory_stays_under_the_limit(tmp_path):
    words = [sys.executable, "-c", MEMORY, str(tmp_path / "in.h5ad"), str(tmp_path / "out.h5ad"), "600000"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=900, env=env)
    assert done.returncode == 0, done.stderr
    cells, megabytes = done.stdout.splitlines()
    assert cells == "[600000, 600000]"
    assert int(megabytes) < 1024


@pytest.mark.parametrize(
    ("place", "other", "said"),
    [
        ("X", "uns", "is not a matrix, but a group of"),
        ("uns", "obs/_index", "obs, var or uns of .* cannot be read"),
        ("obs", "X", "obs, var or uns of .* cannot be read"),
        ("obsm/a", "var/_index", r"obsm\['a'\] has shape"),
    ],
)
def test_one_thing_in_the_place_of_another_is_named(tmp_path, place, other, said):
    adata = AnnData(np.ones((9, 8), np.float32), obsm={"a": np.ones((9, 2))})
    adata.write_h5ad(tmp_path / "in.h5ad")
    with h5py.File(tmp_path / "in.h5ad", "a") as file:
        found = file[other]
        del file[place]
        file[place] = found
    with pytest.raises(ModelFileError, match=said):
        pp.preprocess_file(tmp_path / "in.h5ad", tmp_path / "out.h5ad", min_genes=1, min_cells=1, percent_top=())
