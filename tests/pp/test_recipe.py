"""The recipe is its verbs one after another: in memory, in dask, and from file to file."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData
from peers import KINDS, adata_of, assert_same, dense

from scae import pp
from scae.cli import preprocess as command
from scae.errors import ConfigError, CountsError, MissingKeyError

ROOT = Path(__file__).parents[2]
PBMC = ROOT.parent / "shared" / "data" / "pbmc3k.h5ad"
LIMITS = {"min_genes": 20, "min_cells": 15}
FLAVORS = ("seurat", "cell_ranger", "seurat_v3", "pearson_residuals")


def by_scanpy(
    adata: AnnData, flavor="seurat", target_sum=1e4, batch_key=None, n_top_genes=30, qc_vars=("mt",), **limits
) -> AnnData:
    """The same, verb by verb, by scanpy."""
    limits = LIMITS | limits
    sc.pp.calculate_qc_metrics(adata, qc_vars=list(qc_vars), percent_top=(50,), inplace=True)
    sc.pp.filter_cells(adata, min_genes=limits["min_genes"])
    sc.pp.filter_genes(adata, min_cells=limits["min_cells"])
    adata.layers["counts"] = adata.X.copy()
    sc.pp.normalize_total(adata, target_sum=target_sum)
    sc.pp.log1p(adata)
    verb = sc.experimental.pp if flavor == "pearson_residuals" else sc.pp
    layer = None if flavor in ("seurat", "cell_ranger") else "counts"
    verb.highly_variable_genes(adata, flavor=flavor, n_top_genes=n_top_genes, batch_key=batch_key, layer=layer)
    return adata


def assert_recipes_agree(ours: AnnData, theirs: AnnData) -> None:
    for name in ("obs", "var"):
        pd.testing.assert_frame_equal(getattr(ours, name), getattr(theirs, name), rtol=1e-4, atol=1e-5, check_categorical=False)
    np.testing.assert_allclose(dense(ours.X), dense(theirs.X), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(dense(ours.layers["counts"]), dense(theirs.layers["counts"]))
    assert dict(ours.uns["hvg"]) == dict(theirs.uns["hvg"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flavor", FLAVORS)
@pytest.mark.parametrize("batch_key", [None, "batch"])
def test_recipe_is_scanpys_verbs(kind, flavor, batch_key):
    for target_sum, dtype in itertools.product((1e4, None), ("float32", "int64")):
        options = {"flavor": flavor, "batch_key": batch_key, "target_sum": target_sum, "n_top_genes": 30}
        ours, theirs = adata_of(kind, dtype, n=300), by_scanpy(adata_of(kind, dtype, n=300), **options)
        pp.recipe(ours, qc_vars=["mt"], **LIMITS, **options)
        assert_recipes_agree(ours, theirs)


def test_recipe_leaves_the_callers_matrix_as_it_is():
    adata = adata_of()
    given, before = adata.X, adata.X.copy()
    pp.recipe(adata, min_genes=0, min_cells=0, n_top_genes=9)
    assert_same(given, before)
    with pytest.raises(ConfigError, match="key_counts"):
        pp.recipe(adata)


def test_recipe_of_values_below_zero_goes_by_the_verbs():
    ours, theirs = (adata_of(n=200) for _ in range(2))
    for adata in (ours, theirs):
        adata.X.data[::9] *= -1
    options = {"qc_vars": ["mt"], "flavor": "seurat_v3", "n_top_genes": 9, "min_genes": 15, "min_cells": 5}
    with np.errstate(all="ignore"):
        pp.recipe(ours, **options)
        by_scanpy(theirs, **options)
    np.testing.assert_array_equal(ours.obs["n_genes"], theirs.obs["n_genes"])
    np.testing.assert_array_equal(dense(ours.layers["counts"]), dense(theirs.layers["counts"]))


da = pytest.importorskip("dask.array")


def chunked(adata: AnnData, rows: int = 70) -> AnnData:
    lazy = adata.copy()
    parts = [adata.X[a : a + rows] for a in range(0, adata.n_obs, rows)]
    lazy.X = da.concatenate([da.from_array(p, chunks=p.shape, asarray=not sp.issparse(p)) for p in parts])
    return lazy


@pytest.mark.parametrize("kind", ["csr", "dense"])
@pytest.mark.parametrize("dtype", ["float32", "int64"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_dask_is_lazy_and_the_same(kind, dtype, flavor):
    here = adata_of(kind, dtype, n=300)
    lazy = chunked(here)
    for adata in (here, lazy):
        pp.recipe(adata, qc_vars=["mt"], flavor=flavor, batch_key="batch", n_top_genes=30, **LIMITS)
    assert isinstance(lazy.X, da.Array)
    assert_recipes_agree(lazy, here)
    for adata in (here, lazy):
        pp.scale(adata, zero_center=False, max_value=2)
        pp.rank_by_deviance(adata, layer="counts")
        pp.size_factors(adata, "median_of_ratios", layer="counts")
    assert isinstance(lazy.X, da.Array)
    np.testing.assert_allclose(dense(lazy.X), dense(here.X), rtol=1e-5)
    pd.testing.assert_frame_equal(lazy.var, here.var, rtol=1e-4)
    pd.testing.assert_frame_equal(lazy.obs, here.obs, rtol=1e-4)


@pytest.mark.parametrize("options", [{"zero_center": True}, {"mask_obs": "mask"}, {"mask_obs": "mask", "zero_center": False}])
def test_dask_scales_as_memory_does(options):
    here = adata_of("dense", "float64", n=300)
    lazy = chunked(here)
    pp.scale(here, **options)
    pp.scale(lazy, **options)
    np.testing.assert_allclose(dense(lazy.X), here.X)


def test_dask_normalises_without_dominant_genes():
    here = adata_of("csr", "float32", n=300)
    lazy = chunked(here)
    for adata in (here, lazy):
        pp.normalize_total(adata, target_sum=10, exclude_highly_expressed=True, max_fraction=0.2, key_added="factor")
    np.testing.assert_allclose(dense(lazy.X), dense(here.X), rtol=1e-6)
    np.testing.assert_allclose(lazy.obs["factor"], here.obs["factor"])


def stored(tmp_path: Path, adata: AnnData, kind: str) -> Path:
    path = tmp_path / f"in.{kind}"
    (adata.write_zarr if kind == "zarr" else adata.write_h5ad)(path)
    return path


def read(path: Path) -> AnnData:
    return anndata.read_zarr(path) if path.suffix == ".zarr" else anndata.read_h5ad(path)


@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
@pytest.mark.parametrize(("source", "target"), [("h5ad", "h5ad"), ("zarr", "zarr"), ("h5ad", "zarr")])
@pytest.mark.parametrize("flavor", ["seurat", "seurat_v3"])
def test_file_to_file_is_the_recipe(tmp_path, monkeypatch, kind, source, target, flavor):
    monkeypatch.setattr("scae.pp._preprocess_file._BLOCKS_ALIVE", 10**5)  # blocks of a few rows
    adata = adata_of(kind, n=300)
    adata.obsm["place"], adata.varm["loading"], adata.uns["source"] = np.arange(600.0).reshape(300, 2), np.ones((80, 3)), "here"
    path, out = stored(tmp_path, adata, source), tmp_path / f"out.{target}"
    options = {"flavor": flavor, "n_top_genes": 30, "qc_vars": ["mt"], "target_sum": None if kind == "csc" else 1e4} | LIMITS
    for _ in range(2):  # the second run replaces the first one's result
        done = pp.preprocess_file(path, out, **options)
    pp.recipe(adata, **options)
    found = read(out)
    assert_recipes_agree(found, adata)
    assert_same(found.obsm["place"], adata.obsm["place"])
    assert found.varm["loading"].shape == adata.varm["loading"].shape
    assert found.uns["source"] == "here"
    assert done["cells"] == [300, found.n_obs]
    assert done["genes"] == [80, found.n_vars]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([path.name, out.name])


def test_columns_in_any_order_are_read(tmp_path):
    """As scanpy's own pbmc68k_reduced has them; the result is that of the same matrix in order."""
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


def test_verbs_read_backed_matrices_block_by_block(tmp_path):
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


def test_a_failure_leaves_the_old_result(tmp_path):
    adata = adata_of()
    path, out = stored(tmp_path, adata, "h5ad"), tmp_path / "out.h5ad"
    out.write_text("precious")
    with pytest.raises(KeyError):
        pp.preprocess_file(path, out, qc_vars=["absent"])
    assert out.read_text() == "precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.h5ad", "out.h5ad"]


def test_file_misuse(tmp_path):
    path = stored(tmp_path, adata_of(), "h5ad")
    with pytest.raises(ConfigError, match="another file"):
        pp.preprocess_file(path, path)
    with pytest.raises(ConfigError, match="1G"):
        pp.preprocess_file(path, tmp_path / "out.h5ad", max_memory=1000)
    with pytest.raises(MissingKeyError, match="does not exist"):
        pp.preprocess_file(tmp_path / "absent.h5ad", tmp_path / "out.h5ad")


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


def test_the_command_gives_a_summary(tmp_path):
    path, out = stored(tmp_path, adata_of(n=300), "h5ad"), tmp_path / "out.h5ad"
    options = ("--min-genes", "20", "--min-cells", "15", "--n-top-genes", "30", "--qc-vars", "mt", "--target-sum", "median")
    done = command.run(parsed(str(path), str(out), "--max-memory", "2G", *options))
    assert json.loads(json.dumps(done)) == done
    expected = by_scanpy(adata_of(n=300), target_sum=None)
    assert_recipes_agree(read(out), expected)
    with pytest.raises(ConfigError, match="2G"):
        command.run(parsed(str(path), str(out), "--max-memory", "much"))


@pytest.mark.skipif(not PBMC.exists(), reason="no real counts beside the repository")
def test_real_counts(tmp_path):
    out = tmp_path / "out.h5ad"
    command.run(parsed(str(PBMC), str(out), "--percent-top", "50"))
    expected = by_scanpy(anndata.read_h5ad(PBMC), n_top_genes=2000, min_genes=200, min_cells=3, qc_vars=())
    assert_recipes_agree(read(out), expected)


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
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))  # ru_maxrss would inherit the parent's
print(int(peak.split()[1]) >> 10)
"""


@pytest.mark.slow
def test_memory_stays_under_the_limit(tmp_path):
    words = [sys.executable, "-c", MEMORY, str(tmp_path / "in.h5ad"), str(tmp_path / "out.h5ad"), "600000"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=900, env=env)
    assert done.returncode == 0, done.stderr
    cells, megabytes = done.stdout.splitlines()
    assert cells == "[600000, 600000]"
    assert int(megabytes) < 1024


def test_no_cell_left_is_said_before_anything_is_dropped(tmp_path):
    adata = AnnData(sp.csr_matrix(np.eye(5, dtype=np.float32)))
    with pytest.raises(CountsError, match="none of the 5 cells has 200 expressed genes"):
        pp.recipe(adata, percent_top=())
    assert adata.shape == (5, 5)
    adata.write_h5ad(tmp_path / "in.h5ad")
    with pytest.raises(CountsError, match="lower min_genes"):
        pp.preprocess_file(tmp_path / "in.h5ad", tmp_path / "out.h5ad", percent_top=())
    assert [path.name for path in tmp_path.iterdir()] == ["in.h5ad"]


def test_a_truncated_file_is_named(tmp_path):
    whole, cut = tmp_path / "whole.h5ad", tmp_path / "cut.h5ad"
    AnnData(sp.csr_matrix(np.eye(5, dtype=np.float32))).write_h5ad(whole)
    cut.write_bytes(whole.read_bytes()[:2000])
    with pytest.raises(OSError, match=r"cut\.h5ad cannot be read as h5ad .*whole file"):
        pp.preprocess_file(cut, tmp_path / "out.h5ad")
    assert not (tmp_path / "out.h5ad").exists()
