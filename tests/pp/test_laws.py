"""Laws for all verbs: threads do not change results, inputs are not changed, invalid matrices raise, no cache is needed."""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from peers import FLAVORS, adata_of, assert_same, dense
from storages import DTYPES, IN_MEMORY, LAZY

from scae import pp, threads
from scae.errors import MatrixError

ROOT = Path(__file__).parents[2]


def big() -> AnnData:
    """Return AnnData that is large enough for several threads."""
    rng = np.random.default_rng(0)
    x = sp.random(3000, 400, 0.1, "csr", np.float32, rng)
    x.data = np.ceil(x.data * 9).astype(np.float32)
    adata = AnnData(x)
    adata.obs["batch"] = np.array(["a", "b"])[rng.integers(0, 2, 3000)]
    return adata


def everything(adata: AnnData) -> AnnData:
    """Run all verbs one after another."""
    pp.calculate_qc_metrics(adata, percent_top=(5, 50), inplace=True)
    pp.size_factors(adata)
    pp.size_factors(adata, "median_of_ratios", key_added="ratios")
    pp.rank_by_deviance(adata, batch_key="batch")
    pp.thin_counts(adata)
    for flavor in ("seurat_v3", "pearson_residuals"):
        pp.highly_variable_genes(adata, flavor=flavor, n_top_genes=50, batch_key="batch")
        adata.var[flavor] = adata.var["highly_variable_rank"]
    pp.recipe(adata, min_genes=30, min_cells=250, n_top_genes=50)
    pp.downsample_counts(adata, 100, layer="counts")
    pp.scale(adata, max_value=3)
    return adata


def digest(adata: AnnData) -> str:
    """Return a checksum of all numbers in ``adata``."""
    layers = [adata.layers[name] for name in sorted(adata.layers)]
    parts = [adata.X, *layers, adata.obs.select_dtypes("number"), adata.var.astype(float)]
    return hashlib.sha256(b"".join(np.ascontiguousarray(dense(p)).tobytes() for p in parts)).hexdigest()


def test_threads_do_not_change_a_bit():
    digests = set()
    for n in (1, 2, 4):
        with threads.use(n):
            digests.add(digest(everything(big())))
    assert len(digests) == 1


@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
def test_verbs_that_only_read_do_not_change_the_matrix(kind):
    adata = adata_of(kind)
    if kind != "dense":
        adata.X.data[:7] = 0  # explicit zeros, which scanpy removes from its input
    before = adata.X.copy()
    pp.calculate_qc_metrics(adata, percent_top=(5,), inplace=True)
    pp.filter_cells(adata, min_genes=1, inplace=False)
    for flavor in ("seurat", "seurat_v3", "pearson_residuals"):
        pp.highly_variable_genes(adata, flavor=flavor, n_top_genes=10)
    pp.rank_by_deviance(adata)
    pp.size_factors(adata)
    pp.thin_counts(adata)
    pp.downsample_counts(adata, 5, copy=True)
    pp.normalize_total(adata, inplace=False)
    assert_same(adata.X, before)
    if kind != "dense":
        assert adata.X.nnz == before.nnz


def broken(fault: str) -> sp.csr_matrix:
    """Return a CSR matrix with an invalid column or row pointer."""
    x = adata_of().X.copy()
    if fault == "column":
        x.indices[50] = 10**6
    elif fault == "negative":
        x.indices[50] = -3
    elif fault == "pointer":
        x.indptr[5] = x.indptr[6] + 4
    else:
        x.indptr[-1] += 10
    return x


@pytest.mark.parametrize("fault", ["column", "negative", "pointer", "end"])
@pytest.mark.parametrize(
    "verb",
    [
        lambda a: pp.calculate_qc_metrics(a, percent_top=None),
        lambda a: pp.filter_cells(a, min_genes=3),
        lambda a: pp.filter_genes(a, min_cells=3),
        lambda a: pp.filter_genes(a, min_counts=3),
        lambda a: pp.highly_variable_genes(a, flavor="seurat_v3"),
        lambda a: pp.highly_variable_genes(a),
        lambda a: pp.rank_by_deviance(a),
        lambda a: pp.size_factors(a, "median_of_ratios"),
        lambda a: pp.scale(a),
        lambda a: pp.scale(a, zero_center=False),
        lambda a: pp.recipe(a),
    ],
)
def test_an_invalid_index_raises(fault, verb):
    adata = adata_of()
    x = adata.X
    invalid = broken(fault)
    x.indices, x.indptr = invalid.indices, invalid.indptr
    with pytest.raises(MatrixError):
        verb(adata)


def test_unsorted_and_repeated_columns_count_as_their_sums():
    adata = adata_of()
    x = adata.X
    order = np.concatenate([np.arange(a, b)[::-1] for a, b in zip(x.indptr[:-1], x.indptr[1:], strict=True)])
    split = sp.csr_matrix((np.tile(x.data[order] / 2, (2, 1)).T.ravel(), np.repeat(x.indices[order], 2), x.indptr * 2), x.shape)
    unsorted = adata.copy()
    unsorted.X = split
    for verb in (
        lambda a: pp.calculate_qc_metrics(a, percent_top=(5,)),
        lambda a: pp.filter_cells(a, min_genes=20, inplace=False),
        lambda a: pp.filter_genes(a, min_cells=20, inplace=False),
        lambda a: pp.highly_variable_genes(a, flavor="seurat_v3", inplace=False),
        lambda a: pp.rank_by_deviance(a, inplace=False),
    ):
        assert_same(verb(unsorted), verb(adata))
    assert unsorted.X.nnz == 2 * x.nnz


CODE = """
import numpy as np, scipy.sparse as sp, anndata, sys
from scae import pp
a = anndata.AnnData(sp.random(300, 60, 0.2, "csr", np.float32, np.random.default_rng(0)))
a.X.data = np.ceil(a.X.data * 5)
pp.recipe(a, min_genes=1, n_top_genes=9, percent_top=(5,))
print(a.X.sum(), "torch" in sys.modules)
"""


def test_a_read_only_cache_folder_gives_the_same_result(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(stat.S_IRUSR | stat.S_IXUSR)
    answers = []
    for folder in (closed / "below", tmp_path / "open"):  # root can write to any folder, but not to a file as a folder
        if folder.parent == closed:
            closed.chmod(0o700)
            folder.write_text("a file")
        env = os.environ | {"NUMBA_CACHE_DIR": str(folder), "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", CODE], env=env, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        answers.append(done.stdout)
    assert answers[0] == answers[1]
    assert answers[0].strip().endswith("False")  # torch is not imported


@pytest.mark.parametrize("place", ["memory", "files"])
def test_no_fault_of_a_sparse_matrix_crashes_or_gets_past_any_verb(place):
    """In a process of its own, so that a signal is seen as such; the last line of stderr names the call that crashed."""
    words = [sys.executable, str(Path(__file__).with_name("faults.py")), place]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.strip() == ""


ON_COUNTS = {
    "calculate_qc_metrics": lambda a: pp.calculate_qc_metrics(a, qc_vars=["mt"], percent_top=(2, 5), inplace=True),
    "filter_cells": lambda a: pp.filter_cells(a, min_genes=4),
    "filter_genes": lambda a: pp.filter_genes(a, min_counts=5),
    "normalize_total": lambda a: pp.normalize_total(a, key_added="factor"),
    "normalize_total of some genes": lambda a: pp.normalize_total(a, exclude_highly_expressed=True, max_fraction=0.2),
    "log1p": lambda a: pp.log1p(a, base=2),
    "scale": lambda a: pp.scale(a, max_value=2),
    "scale without centre": lambda a: pp.scale(a, zero_center=False, max_value=1.5),
    "scale with a mask": lambda a: pp.scale(a, zero_center=False, max_value=1.5, mask_obs="mask"),
    "downsample_counts": lambda a: pp.downsample_counts(a, 10),
    "downsample_counts of all": lambda a: pp.downsample_counts(a, total_counts=100, replace=True),
    "thin_counts": pp.thin_counts,
    "size_factors": pp.size_factors,
    "size_factors by median": lambda a: pp.size_factors(a, "median_of_ratios"),
    "rank_by_deviance": lambda a: pp.rank_by_deviance(a, batch_key="batch", n_top_genes=5),
} | {
    f"recipe with {flavor}": lambda a, f=flavor: pp.recipe(
        a, min_genes=4, min_cells=3, n_top_genes=7, flavor=f, qc_vars=["mt"], percent_top=(3,), batch_key="batch", target_sum=None
    )
    for flavor in FLAVORS
}  # fmt: skip


def held(store, dtype: str) -> AnnData:
    """Return small counts with an empty cell and an empty gene, stored in some way."""
    rng = np.random.default_rng(0)
    values = np.minimum(rng.poisson(rng.gamma(0.5, 1, 25) * rng.gamma(4, 0.25, (60, 1))), 60)
    values[4], values[:, 3] = 0, 0
    adata = AnnData(store(values.astype(dtype)))
    adata.obs["batch"], adata.obs["mask"] = pd.Categorical(["p", "q", "r"] * 20), np.arange(60) % 2
    adata.var["mt"] = np.arange(25) % 4 == 0
    return adata


@pytest.mark.parametrize("verb", ON_COUNTS)
@pytest.mark.filterwarnings("ignore")
def test_the_way_of_storing_a_matrix_does_not_change_results(verb):
    expected = held(np.ascontiguousarray, "float64")
    ON_COUNTS[verb](expected)
    for (name, store), dtype in itertools.product((IN_MEMORY | LAZY).items(), DTYPES):
        dense_store = name in ("C", "F", "read-only", "strided", "dask", "dask of columns")
        if (dtype == "float16" and not dense_store) or (name in LAZY and verb.split()[0] in ("downsample_counts", "thin_counts")):
            continue  # SciPy has no sparse matrices of half precision; these two verbs refuse dask arrays
        adata = held(store, dtype)
        ON_COUNTS[verb](adata)
        close = {"rtol": 2e-4, "atol": 1e-5, "err_msg": f"{name}, {dtype}"}
        np.testing.assert_allclose(dense(adata.X).astype(float), expected.X, **close)
        for table in ("obs", "var"):
            pd.testing.assert_frame_equal(
                getattr(adata, table), getattr(expected, table), check_dtype=False, rtol=2e-4, atol=1e-5, obj=f"{name}, {dtype}"
            )
        for layer in expected.layers:
            np.testing.assert_array_equal(
                dense(adata.layers[layer]).astype(float), dense(expected.layers[layer]), f"{name}, {dtype}"
            )


IN_PLACE = {
    "normalize_total": pp.normalize_total,
    "log1p": pp.log1p,
    "scale": pp.scale,
    "scale without centre": lambda a: pp.scale(a, zero_center=False),
    "downsample_counts": lambda a: pp.downsample_counts(a, 5),
    "recipe": lambda a: pp.recipe(a, min_genes=0, min_cells=0, n_top_genes=5, percent_top=(), key_counts="kept"),
}
SHARED = {
    "layer": lambda a: a.layers.__setitem__("counts", a.X),
    "view in a layer": lambda a: a.layers.__setitem__("counts", a.X[:]),
    "raw": lambda a: setattr(a, "raw", a),
    "obsm": lambda a: a.obsm.__setitem__("counts", a.X),
}


@pytest.mark.parametrize("share", SHARED)
@pytest.mark.parametrize("verb", IN_PLACE)
@pytest.mark.parametrize("kind", ["csr", "csc", "dense", "fortran"])
def test_memory_of_another_slot_is_not_written(kind, verb, share):
    adata = adata_of(kind, "float64", n=40)
    values = dense(adata.X).copy()
    SHARED[share](adata)
    IN_PLACE[verb](adata)
    other = adata.raw.X if share == "raw" else adata.obsm["counts"] if share == "obsm" else adata.layers["counts"]
    np.testing.assert_array_equal(dense(other), values)


@pytest.mark.parametrize("verb", ["log1p", "scale", "normalize_total"])
def test_x_survives_a_change_of_a_layer_that_shares_its_memory(verb):
    adata = adata_of("dense", "float64", n=40)
    values = adata.X.copy()
    adata.layers["other"] = adata.X
    getattr(pp, verb)(adata, layer="other")
    np.testing.assert_array_equal(adata.X, values)
