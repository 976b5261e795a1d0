"""Real counts: the autoencoder explains molecules that it has not seen better than gene means do."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
from helpers import SHARED

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
