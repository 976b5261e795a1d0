"""``scae demo``: the main job on real counts, with something to compare it to."""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from scipy.special import gammaln

from .. import datasets, tl
from .files import log, write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="demo_out", metavar="FOLDER", help="where to write (demo_out)")
    parser.add_argument("--random-state", type=int, default=0, help="seed (0)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    began, out = time.perf_counter(), Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    adata = datasets.pbmc68k_reduced()
    log.info("counts: %d cells × %d genes (Zheng 2017)", *adata.shape)
    model = tl.embed(adata, random_state=args.random_state)
    tl.denoise(adata, model)
    ari = _cluster(adata)
    log.info("fitted, embedded, denoised, clustered; now the same with a tenth of the molecules held out")
    nats = held_out_nats(adata, args.random_state)
    model.save(out / "model.scae")
    write(adata, str(out / "adata.h5ad"))
    _picture(adata, out / "demo.png")
    summary = {"out": str(out), "ari": ari, "held_out_nats_per_cell": nats, "seconds": round(time.perf_counter() - began, 1)}
    if not args.json:
        _tell(summary)
    return summary


def _cluster(adata: AnnData) -> dict[str, float]:
    """Neighbours, Leiden and UMAP on the latent; agreement with the labels, beside that of PCA's clusters."""
    import scanpy as sc
    from sklearn.metrics import adjusted_rand_score

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scanpy's and umap's remarks on their own future
        sc.pp.neighbors(adata, use_rep="X_pca", key_added="pca")
        sc.tl.leiden(adata, neighbors_key="pca", key_added="leiden_pca", flavor="igraph", n_iterations=2, directed=False)
        sc.pp.neighbors(adata, use_rep="X_scae")
        sc.tl.leiden(adata, flavor="igraph", n_iterations=2, directed=False)
        sc.tl.umap(adata)
    clusters = {"scae": adata.obs["leiden"], "pca": adata.obs["leiden_pca"]}
    return {name: round(float(adjusted_rand_score(adata.obs["bulk_labels"], found)), 3) for name, found in clusters.items()}


def held_out_nats(adata: AnnData, seed: int) -> dict[str, float]:
    """Poisson nats per cell of a tenth of the molecules, predicted from the other nine tenths; less is better."""
    x = adata.layers["counts"].tocsr()
    train = x.copy()
    train.data = np.random.default_rng(seed).binomial(x.data.astype(np.int64), 0.9).astype(np.float32)
    train.eliminate_zeros()
    test = (x - train).toarray()
    fold = AnnData(train, var=adata.var[[]].copy())
    tl.denoise(fold, random_state=seed)
    dense = train.toarray()
    means = {
        "gene mean": dense.sum(1, keepdims=True) * (dense.sum(0) / dense.sum()),
        "pca (30)": _pca_mean(dense),
        "scae": fold.layers["denoised"],
    }
    return {name: round(_poisson_nats(test, mean / 9), 1) for name, mean in means.items()}


def _pca_mean(counts: NDArray, k: int = 30) -> NDArray:
    """Expected counts from the first k components of log1p(CP10k)."""
    library = counts.sum(1, keepdims=True)
    logged = np.log1p(counts / np.maximum(library, 1) * 1e4)
    centre = logged.mean(0)
    u, s, v = np.linalg.svd(logged - centre, full_matrices=False)
    rate = np.expm1(np.maximum((u[:, :k] * s[:k]) @ v[:k] + centre, 0))
    return rate / rate.sum(1, keepdims=True) * library


def _poisson_nats(x: NDArray, mu: NDArray) -> float:
    mu = np.maximum(mu, 1e-9)
    return float((mu - x * np.log(mu) + gammaln(x + 1)).sum(1).mean())


def _picture(adata: AnnData, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import scanpy as sc

    gene = "CD3D"
    adata.obs["raw"] = np.log1p(adata[:, gene].X.toarray().ravel())
    adata.obs["denoised"] = np.log1p(adata[:, gene].layers["denoised"].ravel())
    panels: dict[str, tuple[str, dict[str, Any]]] = {
        "leiden": ("Leiden clusters of the latent", {"legend_loc": "on data", "legend_fontsize": 8, "legend_fontoutline": 2}),
        "bulk_labels": ("published labels", {"legend_fontsize": 8}),  # T cells lie too close for names in place
        "raw": (f"{gene}, log1p of counts", {}),
        "denoised": (f"{gene}, log1p of denoised counts", {}),
    }
    fig, axes = plt.subplots(2, 2, figsize=(9.4, 7.6), gridspec_kw={"wspace": 0.12, "hspace": 0.12})
    for ax, (key, (title, legend)) in zip(axes.flat, panels.items(), strict=True):
        sc.pl.umap(adata, color=key, title=title, ax=ax, show=False, frameon=False, size=35, **legend)
    fig.savefig(path, dpi=100, bbox_inches="tight")
    plt.close(fig)
    adata.obs.drop(columns=["raw", "denoised"], inplace=True)


def _tell(summary: dict[str, Any]) -> None:
    ari, nats = summary["ari"], summary["held_out_nats_per_cell"]
    print("Leiden clusters against the labels (ARI):  " + ",  ".join(f"{k} {v:.3f}" for k, v in ari.items()))
    print("held-out molecules (nats per cell, less is better):  " + ",  ".join(f"{k} {v:.1f}" for k, v in nats.items()))
    print(f"wrote adata.h5ad, model.scae and demo.png to {summary['out']}/ in {summary['seconds']} s")
