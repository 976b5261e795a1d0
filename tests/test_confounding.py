"""Batches that hold other cell types than the rest are told; batches that differ in technique alone are not."""

from __future__ import annotations

import warnings

import anndata
import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from helpers import QUICK, SHARED, real_counts
from numpy.typing import NDArray

import scae
from scae.findings import unmatched_share

WORDS = "may be confounded with cell type"


def cells() -> tuple[sp.csr_matrix, NDArray]:
    adata = scae.datasets.pbmc68k_reduced()
    return sp.csr_matrix(adata.X), adata.obs["bulk_labels"].astype(str).to_numpy()


def by_type(labels: NDArray, share: float, seed: int = 0) -> NDArray:
    """Batches that share their cell types but for a share of the cells, which is in the batch of its type."""
    rng = np.random.default_rng(seed)
    names, counts = np.unique(labels, return_counts=True)
    home = {name: "ab"[i % 2] for i, name in enumerate(names[np.argsort(-counts)])}
    return np.where(rng.random(labels.size) < share, [home[name] for name in labels], rng.choice(["a", "b"], labels.size))


def with_effect(x: sp.csr_matrix, rows: NDArray[np.bool_], size: float, seed: int = 0) -> sp.csr_matrix:
    """Counts of which some cells lose molecules, more of some genes than of others."""
    rng = np.random.default_rng(seed)
    kept, x = np.exp(-np.abs(rng.normal(0, size, x.shape[1]))), x.tocsr(copy=True)
    hit = np.repeat(rows, np.diff(x.indptr))
    x.data[hit] = rng.binomial(x.data[hit].astype(int), kept[x.indices[hit]])
    return x


@pytest.mark.parametrize("size", [0.0, 1.0, 2.0])
def test_batches_of_the_same_cell_types_are_matched_whatever_their_technique(size):
    x, labels = cells()
    batch = by_type(labels, 0.0)
    assert max(unmatched_share(with_effect(x, batch == "b", size), batch).values()) < 0.15


def test_the_share_rises_with_the_confounding():
    x, labels = cells()
    shares = [unmatched_share(x, by_type(labels, share))["a"] for share in (0.0, 0.5, 1.0)]
    assert shares == sorted(shares)
    assert -0.05 < shares[0] < 0.05
    assert 0.22 < shares[2] <= 1


def test_pairing_gains_nothing_between_batches_that_vary_in_different_genes():
    """Two kinds of cells in each batch; those of one batch differ in two genes, those of the other in two others."""
    rng = np.random.default_rng(0)
    x = np.zeros((400, 4))
    x[:200, :2], x[200:, 2:] = rng.poisson(500, (200, 2)), rng.poisson(500, (200, 2))
    x[:100, 0] += 1000
    x[200:300, 2] += 1000
    share = unmatched_share(sp.csr_matrix(x), np.repeat(["a", "b"], 200))
    assert share["a"] == share["b"] == pytest.approx(1, abs=0.1)


def test_the_odd_batch_out_is_named():
    x, labels = cells()
    batch = np.where(labels == "CD19+ B", "odd", np.random.default_rng(0).choice(["a", "b", "c"], labels.size))
    adata = AnnData(x, obs={"plate": batch})
    said = str(scae.check(adata, batch_key="plate"))
    assert "obs['plate'] " + WORDS in said
    assert "cells of 'odd'" in said
    assert WORDS not in str(scae.check(adata))


def test_a_fit_warns_only_if_it_aligns_batches():
    x, labels = cells()
    adata = AnnData(x, obs={"batch": by_type(labels, 1.0)})
    with pytest.warns(UserWarning, match=WORDS):
        model = scae.tl.embed(adata, plan=QUICK, batch_key="batch", device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scae.tl.fit(adata, "pca", batch_key="batch", device="cpu")
        scae.tl.embed(adata, model)
        scae.tl.fit(real_counts(), plan=QUICK, batch_key="batch", device="cpu")


def test_small_batches_and_single_ones_are_not_judged():
    x, _ = cells()
    assert unmatched_share(x, np.repeat("a", x.shape[0])) == {}
    assert unmatched_share(x, np.where(np.arange(x.shape[0]) < 30, "few", "many")) == {}


@pytest.mark.shared
@pytest.mark.parametrize("name", ["ifnb_kang_2800", "scmix_3cl", "scmix_rnamix"])
def test_real_designs_that_share_their_cell_types_raise_no_alarm(name):
    adata = anndata.read_h5ad(SHARED / f"{name}.h5ad")
    assert WORDS not in str(scae.check(adata, batch_key="batch"))


@pytest.mark.shared
@pytest.mark.parametrize("name", ["mouse_bladder_2100", "worm_neuron", "zeisel_1464_ercc"])
def test_real_cells_split_by_type_raise_the_alarm(name):
    adata = anndata.read_h5ad(SHARED / f"{name}.h5ad")
    adata.obs["split"] = by_type(adata.obs["cell_type"].astype(str).to_numpy(), 1.0)
    assert WORDS in str(scae.check(adata, batch_key="split"))
