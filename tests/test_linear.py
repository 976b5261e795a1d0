"""A linear autoencoder with squared error is PCA (Baldi & Hornik 1989): by gradients from a random start, and solved for."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
import torch
from helpers import SHARED, counts_like, data_of, matrix_of, same_weights
from scipy.linalg import subspace_angles

import scae
from scae import pp
from scae.bottlenecks import Deterministic, Sparse
from scae.cli import main
from scae.errors import ConfigError
from scae.infer import losses
from scae.likelihoods import NB, GaussianLikelihood, Student
from scae.model import Autoencoder, ModelSpec
from scae.networks import Linear
from scae.plan import TrainPlan
from scae.records import Cells, Counts
from scae.source import CountMatrix
from scae.train import fit
from scae.transforms import Normalized, Presence


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


SOLVED = TrainPlan(epochs=0, held_out=0.0)
PCA = {"network": Linear(start="pca"), "bottleneck": Deterministic(3), "likelihood": GaussianLikelihood()}


def solved(levels: int = 0, **options) -> tuple[Autoencoder, CountMatrix]:
    """A model in float64 that is solved for, and its 60 cells of 25 genes."""
    source = matrix_of(counts_like(np.random.default_rng(0), 60, 25, mean=3.0), levels=levels, dtype=np.float64)
    rng = torch.Generator().manual_seed(0)
    model = Autoencoder(ModelSpec(**PCA | options), data_of(25, levels=levels), rng).double()
    history = fit(model, source, SOLVED, rng)
    assert [row["step"] for row in history.rows] == [0]
    assert history.rows[0]["loss"] == pytest.approx(losses(model, source).mean(), rel=1e-6)
    return model, source


TRANSFORMS = [Normalized(), Normalized(standardize=True), Normalized(standardize=True, center_batches=True), Presence()]


@pytest.mark.parametrize("transform", TRANSFORMS, ids=repr)
@pytest.mark.parametrize("levels", [0, 3])
@pytest.mark.parametrize("sd", ["shared", "gene"])
def test_what_is_solved_for_is_the_least_loss(transform, levels, sd):
    """Squared error: that of a dense regression on the covariates and PCA of its residuals; and every gradient is zero."""
    model, source = solved(levels, transform=transform, likelihood=GaussianLikelihood(sd=sd))
    counts, cells = source.take(np.arange(60))
    x, design = model.input.observed(counts, cells).dense().numpy(), np.ones((60, 1))
    if levels:
        design = np.column_stack([design, model.covariates(cells)])
    left = x - design @ np.linalg.lstsq(design, x, rcond=None)[0]
    made = model.decode(model.encode(counts, cells).z, counts, cells)["mean"].detach().numpy()
    assert ((x - made) ** 2).sum() == pytest.approx(principal(left, 3)[1], rel=1e-9)
    if sd == "shared":  # with one standard deviation per gene, genes count unequally, and PCA is only a start
        model(counts, cells, torch.Generator()).total.mean().backward()
        assert max(float(p.grad.abs().max()) for p in model.parameters()) < 1e-6
    rest = ((x - made) ** 2).mean(0)
    variance = model.heads.free["log_sd"].exp().detach() ** 2
    np.testing.assert_allclose(variance, rest if sd == "gene" else rest.mean(), rtol=1e-6, atol=1e-8)


def test_a_t_distribution_starts_with_the_variance_of_the_residuals():
    variance = [solved(likelihood=of)[0].heads.free["log_sd"].exp() ** 2 for of in (GaussianLikelihood(), Student(df=6.0))]
    torch.testing.assert_close(variance[1] * 6 / 4, variance[0])


def test_embed_writes_the_scores_of_scanpy(pbmc):
    model = scae.tl.embed(pbmc, "pca")
    scae.tl.loadings(pbmc, model)
    reference = pbmc.copy()
    sc.pp.normalize_total(reference, target_sum=1e4)
    sc.pp.log1p(reference)
    sc.pp.pca(reference, n_comps=30, svd_solver="arpack")
    np.testing.assert_allclose(pbmc.obsm["X_scae"], reference.obsm["X_pca"], atol=2e-3)
    np.testing.assert_allclose(pbmc.varm["scae_loadings"], reference.varm["PCs"], atol=2e-3)


def test_a_model_that_is_solved_for_is_like_any_other(pbmc, tmp_path):
    model = scae.tl.embed(pbmc, "pca", batch_key="batch", checkpoint=tmp_path / "fit")
    again = scae.tl.fit(pbmc, "pca", batch_key="batch", checkpoint=tmp_path / "fit")  # from the checkpoint
    model.save(tmp_path / "m.scae")
    assert same_weights(model, again)
    assert same_weights(model, scae.load(tmp_path / "m.scae"))
    assert model.fitted["history"]["rows"][0]["loss"] == again.fitted["history"]["rows"][0]["loss"]
    scae.tl.denoise(pbmc, model, at_batch="east")
    assert np.isfinite(pbmc.layers["denoised"]).all()
    scores = pd.DataFrame(pbmc.obsm["X_scae"]).groupby(pbmc.obs["batch"].to_numpy()).mean()
    np.testing.assert_allclose(scores, 0, atol=1e-4)  # what the batches explain is in the covariates' weights
    table = scae.tl.cross_validate(pbmc, ["pca"], n_splits=1)
    assert table.set_index("model")["deviance_explained"].notna().all()
    path = tmp_path / "cells.h5ad"
    pbmc.write_h5ad(path)
    assert main(["embed", str(path), str(tmp_path / "out.h5ad"), "--preset", "pca", "--batch-key", "batch"]) == 0
    np.testing.assert_array_equal(anndata.read_h5ad(tmp_path / "out.h5ad").obsm["X_scae"], pbmc.obsm["X_scae"])


def test_steps_go_on_from_what_was_solved_for(pbmc):
    one = scae.tl.fit(pbmc, "pca").fitted["history"]["rows"][0]["loss"]
    many = scae.tl.fit(pbmc, "pca", plan=scae.TrainPlan(epochs=2, min_steps=1, lr=1e-5, held_out=0.0)).fitted["history"]["rows"]
    assert many[-1]["loss"] == pytest.approx(one, rel=0.01)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"likelihood": NB()}, "the likelihood is NB.*gaussian"),
        ({"likelihood": GaussianLikelihood(target_scale="counts")}, "the likelihood is Gaussian.*gaussian"),
        ({"bottleneck": Sparse()}, "the bottleneck is Sparse.*deterministic"),
        ({"network": Linear(start="pca", nonnegative=True)}, "nonnegative is True"),
    ],
)
def test_models_that_are_no_pca_are_not_solved_for(options, said):
    with pytest.raises(ConfigError, match=f"start is 'pca', but {said}.*start 'random'"):
        ModelSpec(**PCA | options)


def test_a_plan_without_steps_needs_a_model_that_is_solved_for(pbmc):
    with pytest.raises(ConfigError, match=r"epochs is 0.*at random.*at least 1"):
        scae.tl.fit(pbmc, "vae", plan=SOLVED)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["pbmc3k", "zeisel_1464_ercc", "scmix_3cl"])
def test_axes_of_real_cells_are_those_of_a_dense_decomposition(name):
    adata = anndata.read_h5ad(SHARED / f"{name}.h5ad")
    counts = sp.csr_matrix(adata.X)
    spread = counts.multiply(counts).mean(0) - np.square(counts.mean(0))
    adata = adata[:, np.sort(np.argsort(-np.asarray(spread).ravel())[:2000])].copy()
    model = scae.tl.embed(adata, "pca")
    scae.tl.loadings(adata, model)
    x = log_normalized(sp.csr_matrix(adata.X).toarray().astype(np.float64))
    size, axes = np.linalg.svd(x - x.mean(0), full_matrices=False)[1:]
    found = adata.varm["scae_loadings"].astype(np.float64)
    gap = 1 - size[1:31] / size[:30]
    k = 1 + np.flatnonzero(gap > 1e-3)[-1]  # the last that stands out from the next: no gap, no subspace
    assert subspace_angles(found[:, :k], axes[:k].T).max() < 1e-3
    assert ((x - x.mean(0)) @ found).var(0).sum() == pytest.approx((size[:30] ** 2).sum() / len(x), rel=1e-6)
    np.testing.assert_allclose(adata.obsm["X_scae"], (x - x.mean(0)) @ found, atol=2e-3)
