"""Clusters, labels and pseudotime by scae and by scanpy, against the truth: ``python uses.py DATA_FOLDER > ../../docs/uses.md``.

DATA_FOLDER holds h5ad files of raw counts with ``obs["cell_type"]``, and ``obs["batch"]`` where there are batches. The counts for
pseudotime are simulated here. Progress goes to stderr; ``--sets`` and ``--parts`` choose what to do.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData
from scipy.stats import spearmanr
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.neighbors import KNeighborsClassifier

import scae
from scae.bottlenecks import Gaussian
from scae.priors import LabelNormal

INTRO = """\
# Clusters, labels and pseudotime beside scanpy

Made by `python workflows/benchmark/uses.py DATA_FOLDER > docs/uses.md`. The best value of each column is in bold. A different
seed changes a value by a few hundredths.

- **Clusters** are compared with the cell types. The default `resolution` of `tl.cluster` was chosen on these sets. On the two
  `scmix` sets, scae was given the batches, and scanpy's PCA was not.
- **Labels:** half of the labels were hidden, three times. No model beats neighbours in PCA on average.
- **Pseudotime** is compared with the time at which cells were simulated (Spearman), on a line and on a tree with branches.
"""
SETS = ("zeisel_1464_ercc", "scmix_3cl", "scmix_rnamix", "mouse_bladder_2100", "pbmc3k")
SEEDS = (0, 1, 2)
WITH_LABELS = scae.ModelSpec(bottleneck=Gaussian(prior=LabelNormal()))


def read(path: Path) -> AnnData:
    """Labelled cells and 2,000 variable genes."""
    adata = anndata.read_h5ad(path)
    labelled = adata.obs["cell_type"].notna() & ~adata.obs["cell_type"].astype(str).isin(["nan", "NA", ""])
    if "demuxlet_cls" in adata.obs:
        labelled &= adata.obs["demuxlet_cls"] == "SNG"  # no doublets
    adata = adata[labelled].copy()
    adata.X = sp.csr_matrix(adata.X, dtype=np.float32)
    sc.pp.filter_genes(adata, min_cells=3)
    if adata.n_vars > 2000:
        sc.pp.highly_variable_genes(adata, n_top_genes=2000, flavor="seurat_v3", subset=True)
    return adata


def with_pca(adata: AnnData) -> AnnData:
    """A copy with log-normalised values, 30 principal components and 15 neighbours."""
    adata = adata.copy()
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.pca(adata, n_comps=30)
    sc.pp.neighbors(adata, n_neighbors=15)
    return adata


def batch_of(adata: AnnData) -> dict[str, str]:
    return {"batch_key": "batch"} if "batch" in adata.obs else {}


# ---- clusters


def leiden(adata: AnnData, resolution: float) -> np.ndarray:
    sc.tl.leiden(adata, resolution=resolution, flavor="igraph", n_iterations=2, random_state=0)
    return adata.obs["leiden"].to_numpy()


def leiden_of_number(adata: AnnData, n: int) -> np.ndarray:
    """Leiden at the resolution, found by halving, that gives this number of clusters, or at the last one tried."""
    low, high = 1e-3, 10.0
    for _ in range(25):
        middle = (low * high) ** 0.5
        codes = leiden(adata, middle)
        if (found := len(set(codes))) == n:
            break
        low, high = (middle, high) if found < n else (low, middle)
    return codes


def clusters(adata: AnnData) -> Iterator[tuple[str, np.ndarray]]:
    """Clusters by method, without and with the number of cell types."""
    n, peer = adata.obs["cell_type"].nunique(), with_pca(adata)
    for resolution in (0.2, 0.4, 1.0):
        yield f"scanpy: PCA, Leiden {resolution}", leiden(peer, resolution)
    for n_fits in (1, 3):
        scae.tl.cluster(adata, n_fits=n_fits, **batch_of(adata))
        yield f"`tl.cluster(n_fits={n_fits})`", adata.obs["scae_cluster"].to_numpy()
    yield "scanpy: PCA, Leiden, number given", leiden_of_number(peer, n)
    for n_fits in (1, 3):
        scae.tl.cluster(adata, n_fits=n_fits, n_clusters=n, **batch_of(adata))
        yield f"`tl.cluster(n_fits={n_fits})`, number given", adata.obs["scae_cluster"].to_numpy()


def cluster_rows(name: str, adata: AnnData) -> Iterator[dict]:
    truth = adata.obs["cell_type"].astype(str)
    for method, codes in clusters(adata):
        found = {"ARI": adjusted_rand_score(truth, codes), "NMI": normalized_mutual_info_score(truth, codes)}
        yield {"method": method, "set": name} | found


# ---- labels


def label_rows(name: str, adata: AnnData) -> Iterator[dict]:
    """Share of right labels among cells whose label was hidden."""
    truth, z = adata.obs["cell_type"].astype(str), with_pca(adata).obsm["X_pca"]
    embedded = {model: scae.tl.fit(adata, model, **batch_of(adata)) for model in ("scdha", "vae")}
    for seed in SEEDS:
        hidden = np.random.default_rng(seed).random(adata.n_obs) < 0.5
        adata.obs["known"] = truth.astype(object).where(~hidden, None)
        peer = KNeighborsClassifier(10).fit(z[~hidden], truth[~hidden])
        yield {"method": "10 neighbours in PCA", "set": name, "accuracy": peer.score(z[hidden], truth[hidden])}

        def right(mask: np.ndarray = hidden) -> float:
            return float((adata.obs["scae_label"].astype(str) == truth)[mask].mean())

        for model, fitted in embedded.items():
            scae.tl.classify(adata, fitted, "known")
            yield {"method": f'`tl.classify("{model}")`', "set": name, "accuracy": right()}
        fitted = scae.tl.fit(adata, WITH_LABELS, label_key="known", **batch_of(adata))
        for method in ("knn", "prior"):
            scae.tl.classify(adata, fitted, "known", method=method)
            yield {"method": f'prior `label_normal`, `method="{method}"`', "set": name, "accuracy": right()}


# ---- pseudotime


def simulated(shape: str, seed: int, cells: int = 1000, genes: int = 1000) -> AnnData:
    """Counts of cells along a line, or along a stem and two branches; genes rise, fall or peak at times of their own.

    Library sizes are log-normal around 2,000 counts. ``obs["time"]`` is 0 to 1.
    """
    rng = np.random.default_rng(seed)
    time = rng.uniform(0, 1, cells)
    branch = np.where(time > 0.4, rng.integers(0, 2, cells), 0) if shape == "branches" else np.zeros(cells, int)
    peak, width, height = rng.uniform(-0.3, 1.3, genes), rng.uniform(0.1, 0.4, genes), rng.gamma(1.0, 2.0, genes)
    of_branch = rng.integers(0, 3, genes)  # of one branch, of the other, or of both
    here = (of_branch == 2) | (of_branch == branch[:, None]) | (time[:, None] < 0.4)
    rate = rng.gamma(0.5, 1.0, genes) + height * np.exp(-((time[:, None] - peak) ** 2) / (2 * width**2)) * here
    rate /= rate.sum(1, keepdims=True)
    counts = rng.poisson(rng.gamma(5.0, rate / 5.0) * rng.lognormal(np.log(2000), 0.4, (cells, 1)))
    adata = AnnData(sp.csr_matrix(counts, dtype=np.float32))
    adata.obs["time"] = time
    sc.pp.filter_genes(adata, min_cells=3)
    return adata


def time_rows(shape: str) -> Iterator[dict]:
    """Spearman correlation with the simulated time."""
    for seed in SEEDS:
        adata = simulated(shape, seed)
        start = int(adata.obs["time"].argmin())

        def row(method: str, time: pd.Series, truth: pd.Series = adata.obs["time"]) -> dict:
            return {"method": method, "set": shape, "correlation": spearmanr(time, truth, nan_policy="omit")[0]}

        peer = with_pca(adata)
        sc.tl.diffmap(peer)
        peer.uns["iroot"] = start
        sc.tl.dpt(peer)
        yield row("scanpy: PCA, DPT", peer.obs["dpt_pseudotime"])
        for model in ("scdha", "vae"):
            scae.tl.pseudotime(adata, model, start, overwrite=True)
            yield row(f'`tl.pseudotime("{model}")`', adata.obs["scae_pseudotime"])
            peer = AnnData(obs=adata.obs, obsm={"X_scae": scae_latent(adata, model)})
            sc.pp.neighbors(peer, use_rep="X_scae", n_neighbors=15)
            sc.tl.diffmap(peer)
            peer.uns["iroot"] = start
            sc.tl.dpt(peer)
            yield row(f"scanpy: latent of `{model}`, DPT", peer.obs["dpt_pseudotime"])


def scae_latent(adata: AnnData, model: str) -> np.ndarray:
    scae.tl.embed(adata, model, overwrite=True)
    return adata.obsm["X_scae"]


# ---- tables


def markdown(rows: list[dict], measure: str) -> str:
    """Methods × sets, with the mean over the sets last; the best of each column in bold."""
    table = pd.DataFrame(rows).pivot_table(index="method", columns="set", values=measure, aggfunc="mean", sort=False)
    table["mean"] = table.mean(axis=1)
    shown = table.map(lambda value: f"{value:.3f}".replace("0.", ".", 1).replace("-", "−"))
    best = shown.where(table.round(3) < table.round(3).max(), "**" + shown + "**")
    lines = [f"| {measure} | " + " | ".join(best.columns) + " |", "|---" * (len(best.columns) + 1) + "|"]
    return "\n".join(lines + [f"| {method} | " + " | ".join(best.loc[method]) + " |" for method in best.index])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--parts", nargs="+", default=("cluster", "classify", "pseudotime"))
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    rows: dict[str, list[dict]] = {}
    for part in args.parts:
        for name in ("line", "branches") if part == "pseudotime" else args.sets:
            print(part, name, file=sys.stderr)
            if part == "pseudotime":
                rows.setdefault(part, []).extend(time_rows(name))
            else:
                make = cluster_rows if part == "cluster" else label_rows
                rows.setdefault(part, []).extend(make(name, read(args.folder / f"{name}.h5ad")))
    print(INTRO)
    for part, measures in {"cluster": ("ARI", "NMI"), "classify": ("accuracy",), "pseudotime": ("correlation",)}.items():
        if part in rows:
            tables = [markdown(rows[part], measure) for measure in measures]
            print(f"## `tl.{part}`\n\n" + "\n\n".join(tables) + "\n")


if __name__ == "__main__":
    main()
