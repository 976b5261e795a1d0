"""A linear autoencoder with squared error is PCA (Baldi & Hornik 1989)."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
import scanpy as sc
import torch
from helpers import SHARED, counts_like, data_of, matrix_of
from scipy.linalg import subspace_angles

from scae import pp
from scae.bottlenecks import Deterministic
from scae.likelihoods import GaussianLikelihood
from scae.model import Autoencoder, ModelSpec
from scae.networks import Linear
from scae.source import CountMatrix


def optimum(source: CountMatrix, k: int, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Loadings ``(genes, k)`` and reconstruction ``(cells, genes)`` after full batches of Adam, then L-BFGS, in float64."""
    spec = ModelSpec(network=Linear(), bottleneck=Deterministic(k), likelihood=GaussianLikelihood())
    rng, cells = torch.Generator().manual_seed(0), np.arange(len(source))
    model = Autoencoder(spec, data_of(source.n_genes), rng).double()
    model.start(source.statistics(cells, spec.transform))
    batch = source.take(cells)
    away = torch.optim.Adam(model.parameters(), lr=2e-3)  # from the saddle where the code says nothing
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=50, history_size=50, line_search_fn="strong_wolfe", tolerance_grad=1e-12, tolerance_change=0
    )

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        mean = model(batch, rng).total.mean()
        mean.backward()
        return mean

    for _ in range(500):
        loss()
        away.step()
    for _ in range(rounds):
        optimizer.step(loss)
    with torch.no_grad():
        made = model.decode(model.encode(batch).z, batch)["mean"]
    return next(iter(model.coder.out.values())).weight.detach().numpy(), made.numpy()


def principal(x: np.ndarray, k: int) -> tuple[np.ndarray, float]:
    """Loadings ``(genes, k)`` and squared error of PCA."""
    centred = x - x.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:k].T
    return axes, float(((centred - centred @ axes @ axes.T) ** 2).sum())


def log_normalized(counts: np.ndarray) -> np.ndarray:
    return np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)


@pytest.mark.parametrize("k", [1, 3])
def test_subspace_and_error_are_those_of_pca(k):
    counts = counts_like(np.random.default_rng(0), 40, 8, mean=3.0).astype(np.float64)
    x = log_normalized(counts)
    loadings, made = optimum(matrix_of(counts, dtype=np.float64), k, 8)
    axes, error = principal(x, k)
    assert ((made - x) ** 2).sum() == pytest.approx(error, rel=1e-6)
    assert subspace_angles(loadings, axes).max() < 1e-3


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("k", [4, 30])
def test_so_on_real_cells(k):
    adata = anndata.read_h5ad(SHARED / "pbmc3k.h5ad")
    pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=300, subset=True)
    counts = adata.X[:800].toarray().astype(np.float64)
    x = log_normalized(counts[counts.sum(1) > 0])
    loadings, made = optimum(matrix_of(counts[counts.sum(1) > 0], dtype=np.float64), k, 40)
    reference = anndata.AnnData(x)
    sc.pp.pca(reference, n_comps=k, svd_solver="arpack")
    axes, error = reference.varm["PCs"], principal(x, k)[1]
    assert ((made - x) ** 2).sum() == pytest.approx(error, rel=1e-4)
    if k == 4:
        assert subspace_angles(loadings, axes).max() < 1e-3
