"""Laws for all verbs: threads do not change results, inputs are not changed, invalid matrices raise, no cache is needed."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from peers import adata_of, assert_same, dense

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
