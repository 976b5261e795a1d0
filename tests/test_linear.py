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
from scae.records import Cells, Counts
from scae.source import CountMatrix


def optimum(source: CountMatrix, k: int, epochs: int, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Loadings ``(genes, k)`` and reconstruction ``(cells, genes)`` of the model in float64: full batches of L-BFGS.

    They begin where minibatches of Adam have left the saddle at which the code says nothing.
    """
    spec = ModelSpec(network=Linear(), bottleneck=Deterministic(k), likelihood=GaussianLikelihood())
    rng, cells = torch.Generator().manual_seed(0), np.arange(len(source))
    model = Autoencoder(spec, data_of(source.n_genes), rng).double()
    model.start(source.statistics(cells, spec.transform))
    every, order = source.take(cells), np.random.default_rng(0)

    def loss(some: tuple[Counts, Cells] = every) -> torch.Tensor:
        model.zero_grad()
        mean = model(*some, rng).total.mean()
        mean.backward()
        return mean

    size = min(135, len(source))
    adam = torch.optim.Adam(model.parameters(), lr=3e-3 if k < 10 else 2e-3)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(adam, epochs, eta_min=1e-5)
    for _ in range(epochs):
        for some in np.array_split(order.permutation(cells), len(cells) // size):
            loss(source.take(np.sort(some)))
            adam.step()
        rate.step()
    lbfgs = torch.optim.LBFGS(
        model.parameters(), max_iter=50, history_size=100, line_search_fn="strong_wolfe", tolerance_grad=1e-12, tolerance_change=0
    )
    for _ in range(rounds):
        lbfgs.step(loss)
    with torch.no_grad():
        made = model.decode(model.encode(*every).z, *every)["mean"]
    return model.heads.decoders[0].readouts["mean"].weight.detach().numpy(), made.numpy()


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
    loadings, made = optimum(matrix_of(counts, dtype=np.float64), k, 500, 8)
    axes, error = principal(x, k)
    assert ((made - x) ** 2).sum() == pytest.approx(error, rel=1e-6)
    assert subspace_angles(loadings, axes).max() < 1e-3


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize(("k", "epochs", "rounds"), [(4, 300, 10), (30, 500, 9)])
def test_so_on_real_cells(k, epochs, rounds):
    adata = anndata.read_h5ad(SHARED / "pbmc3k.h5ad")
    pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=2000, subset=True)
    counts = adata.X.toarray().astype(np.float64)
    x = log_normalized(counts)
    loadings, made = optimum(matrix_of(counts, dtype=np.float64), k, epochs, rounds)
    reference = anndata.AnnData(x)
    sc.pp.pca(reference, n_comps=k, svd_solver="arpack")
    axes, error = reference.varm["PCs"], principal(x, k)[1]
    assert ((made - x) ** 2).sum() == pytest.approx(error, rel=1e-4)
    if k == 4:  # the thirtieth component is as good as the thirty-first: no gap, no subspace
        assert subspace_angles(loadings, axes).max() < 1e-3
