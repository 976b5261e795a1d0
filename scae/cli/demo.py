"""``scae demo``: embed, denoise and cluster real counts, and compare with PCA and baselines."""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData

from .. import datasets, tl
from .files import log, write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="demo_out", metavar="FOLDER", help="folder to write to (demo_out)")
    parser.add_argument("--random-state", type=int, default=0, help="seed (0)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    began, out = time.perf_counter(), Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    adata = datasets.pbmc68k_reduced()
    log.info("counts: %d cells × %d genes (Zheng 2017)", *adata.shape)
    model = tl.embed(adata, random_state=args.random_state)
    tl.denoise(adata, model)
    ari = _cluster(adata)
    log.info("fitted, embedded, denoised and clustered; now fitting with a tenth of the molecules held out")
    scores = _held_out(adata, args.random_state)
    model.save(out / "model.scae")
    write(adata, str(out / "adata.h5ad"))
    _picture(adata, out / "demo.png")
    summary = {"out": str(out), "ari": ari, "deviance_explained": scores, "seconds": round(time.perf_counter() - began, 1)}
    if not args.json:
        _show(summary)
    return summary


def _cluster(adata: AnnData) -> dict[str, float]:
    """Neighbours, Leiden and UMAP on the latent; adjusted Rand index with the labels, for the latent and for PCA."""
    import scanpy as sc
    from sklearn.metrics import adjusted_rand_score

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecation warnings inside scanpy and umap
        sc.pp.neighbors(adata, use_rep="X_pca", key_added="pca")
        sc.tl.leiden(adata, neighbors_key="pca", key_added="leiden_pca", flavor="igraph", n_iterations=2, directed=False)
        sc.pp.neighbors(adata, use_rep="X_scae")
        sc.tl.leiden(adata, flavor="igraph", n_iterations=2, directed=False)
        sc.tl.umap(adata)
    clusters = {"scae": adata.obs["leiden"], "pca": adata.obs["leiden_pca"]}
    return {name: round(float(adjusted_rand_score(adata.obs["bulk_labels"], codes)), 3) for name, codes in clusters.items()}


def _held_out(adata: AnnData, seed: int) -> dict[str, float]:
    """Share of the held-out deviance explained, by the denoiser and by each baseline; more is better."""
    table = tl.cross_validate(adata, "denoiser", n_splits=1, random_state=seed)
    return {name: round(float(score), 4) for name, score in zip(table["model"], table["deviance_explained"], strict=True)}


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
        "bulk_labels": ("published labels", {"legend_fontsize": 8}),  # T cell types lie too close for labels on the plot
        "raw": (f"{gene}, log1p of counts", {}),
        "denoised": (f"{gene}, log1p of denoised counts", {}),
    }
    fig, axes = plt.subplots(2, 2, figsize=(9.4, 7.6), gridspec_kw={"wspace": 0.12, "hspace": 0.12})
    for ax, (key, (title, legend)) in zip(axes.flat, panels.items(), strict=True):
        sc.pl.umap(adata, color=key, title=title, ax=ax, show=False, frameon=False, size=35, **legend)
    fig.savefig(path, dpi=100, bbox_inches="tight")
    plt.close(fig)
    adata.obs.drop(columns=["raw", "denoised"], inplace=True)


def _show(summary: dict[str, Any]) -> None:
    ari, scores = summary["ari"], summary["deviance_explained"]
    print("Leiden clusters against the labels (ARI):  " + ",  ".join(f"{k} {v:.3f}" for k, v in ari.items()))
    print("share of the held-out deviance explained:  " + ",  ".join(f"{k} {v:.3f}" for k, v in scores.items()))
    print(f"wrote adata.h5ad, model.scae and demo.png to {summary['out']}/ in {summary['seconds']} s")
