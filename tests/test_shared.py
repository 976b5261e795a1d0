"""Real counts: the autoencoder explains molecules that it has not seen better than gene means do."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
from helpers import SHARED
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import normalized_mutual_info_score
from sklearn.neighbors import NearestNeighbors

import scae

pytestmark = pytest.mark.shared


def deviance(x: np.ndarray, mu: np.ndarray) -> float:
    mu = np.maximum(mu, 1e-9)
    return float(2 * (np.where(x > 0, x * np.log(np.maximum(x, 1) / mu), 0) - x + mu).sum())


def test_denoising_beats_gene_means_on_held_out_molecules():
    """Molecular cross-validation: nine tenths of the molecules are seen, one tenth is to be explained."""
    adata = anndata.read_h5ad(SHARED / "pbmc3k.h5ad")[:300].copy()
    full, rng = adata.X.toarray(), np.random.default_rng(0)
    top = np.argsort(full.sum(0))[-300:]
    adata, full = adata[:, top].copy(), full[:, top]
    seen = rng.binomial(full.astype(int), 0.9).astype(np.float32)
    adata.X = seen
    scae.tl.denoise(adata, plan=scae.TrainPlan(min_steps=400, epochs=1))
    null = seen.sum(1, keepdims=True) * seen.sum(0) / seen.sum()
    assert deviance(full - seen, adata.layers["denoised"] / 9) < deviance(full - seen, null / 9)


def mixing(z: np.ndarray, batch: np.ndarray) -> float:
    """Mean entropy of two batches' labels among 30 neighbours, over that of their shares."""
    near = NearestNeighbors(n_neighbors=31).fit(z).kneighbors(z, return_distance=False)[:, 1:]

    def entropy(p: np.ndarray) -> float:
        q = np.stack([p, 1 - p]).clip(1e-12)
        return float(-(q * np.log(q)).sum(0).mean())

    return entropy(batch[near].mean(1)) / entropy(np.array([batch.mean()]))


def agreement(z: np.ndarray, labels: np.ndarray) -> float:
    """Normalised mutual information of k-means with the labels."""
    return normalized_mutual_info_score(labels, KMeans(len(set(labels)), n_init=5, random_state=0).fit_predict(z))


@pytest.mark.slow
def test_decoding_every_cell_at_one_batch_removes_the_batch_and_keeps_the_types():
    adata = anndata.read_h5ad(SHARED / "ifnb_kang_2800.h5ad")
    scae.pp.filter_cells(adata, min_counts=10)
    scae.pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=1000, subset=True)
    scae.pp.filter_cells(adata, min_counts=5)
    model = scae.tl.fit(adata, "cvae", batch_key="batch", plan=scae.TrainPlan(min_steps=800, epochs=1))
    batch, labels, found = (adata.obs["batch"] == "STIM").to_numpy(), adata.obs["cell_type"].astype(str).to_numpy(), {}
    for level in (None, "CTRL"):
        scae.tl.denoise(adata, model, kind="rate", at_batch=level, key_added="at")
        z = PCA(30, random_state=0).fit_transform(np.log1p(adata.layers["at"]))
        found[level] = mixing(z, batch), agreement(z, labels)
    assert found["CTRL"][0] > found[None][0] + 0.3
    assert found["CTRL"][1] > found[None][1] - 0.02
