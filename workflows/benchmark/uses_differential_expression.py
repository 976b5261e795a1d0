"""Differential expression by scae and by scanpy, against the truth: ``python uses_differential_expression.py DATA_FOLDER``.

Prints a section of docs/predicting.md. DATA_FOLDER holds h5ad files of counts with ``obs["cell_type"]``. Counts with known fold
changes are drawn from a model that is fitted to them. Progress goes to stderr; ``--sets``, ``--seeds`` and ``--parts`` choose.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData
from scipy.stats import false_discovery_control, ttest_ind

import scae

SETS = ("pbmc3k", "ifnb_kang_2800", "zeisel_1464_ercc")
GENES, CELLS = 3000, 1200
INTRO = """\
## `tl.differential_expression`

Made by `python workflows/benchmark/uses_differential_expression.py DATA_FOLDER`. Counts are drawn from a `denoiser` that was
fitted to each set; 10 % of the genes get a fold change (log2, normal with standard deviation 1). scanpy's tests are given
log-normalised values.
"""


def read(path: Path) -> AnnData:
    """Labelled cells, at most 1,200, and at most 3,000 genes, chosen at random."""
    adata = anndata.read_h5ad(path)
    adata = adata[~adata.obs["cell_type"].astype(str).isin(["nan", "NA", ""])].copy()
    rng = np.random.default_rng(0)
    adata = adata[np.sort(rng.permutation(adata.n_obs)[:CELLS])].copy()
    adata.X = sp.csr_matrix(adata.X, dtype=np.float32)
    sc.pp.filter_genes(adata, min_cells=5)
    return adata[:, np.sort(rng.permutation(adata.n_vars)[:GENES])].copy()


# ---- counts with a known truth


class Truth:
    """Expected counts and dispersions of a fitted model, from which counts are drawn."""

    def __init__(self, adata: AnnData) -> None:
        model = scae.tl.denoise(adata, "denoiser")
        scae.tl.dispersion(adata, model)
        self.mean = np.asarray(adata.layers["denoised"], np.float64)
        self.theta = adata.var["dispersion"].to_numpy(np.float64)
        self.share = self.mean.mean(0) / self.mean.mean(0).sum()
        self.cell_type = adata.obs["cell_type"].astype(str).to_numpy()

    def fold_changes(self, rng: np.random.Generator) -> np.ndarray:
        """log2; none for the most abundant genes, which would change the shares of all others."""
        changed = (rng.random(self.share.size) < 0.1) & (self.share < 0.003)
        return np.where(changed, rng.normal(0, 1, self.share.size), 0)

    def draw(self, mean: np.ndarray, rng: np.random.Generator, **obs: np.ndarray) -> AnnData:
        counts = rng.poisson(rng.gamma(self.theta, mean / self.theta))
        return AnnData(sp.csr_matrix(counts, dtype=np.float32), obs=pd.DataFrame(obs).astype("category"))


def two_groups(truth: Truth, seed: int, share: float, depth: float, batches: bool) -> tuple[AnnData, np.ndarray]:
    """Cells of the commonest type in two groups, of which one may be smaller, shallower, or commoner in one of two batches."""
    rng = np.random.default_rng(seed)
    mean = truth.mean if share < 0.5 else truth.mean[truth.cell_type == pd.Series(truth.cell_type).mode()[0]]
    lfc, batch = truth.fold_changes(rng), rng.integers(0, 2, len(mean))
    group = rng.random(len(mean)) < (np.where(batch == 0, 0.25, 0.75) if batches else share)
    effect = rng.normal(0, 0.5, lfc.size) if batches else np.zeros(lfc.size)
    mean = mean * 2.0 ** (lfc * group[:, None] + effect * batch[:, None]) * np.where(group, depth, 1)[:, None]
    return truth.draw(mean, rng, group=np.where(group, "a", "b"), batch=batch.astype(str)), lfc


def donors(truth: Truth, seed: int) -> tuple[AnnData, np.ndarray]:
    """Four donors a group, which differ between themselves (log2, standard deviation 0.4), of 100 cells each."""
    rng = np.random.default_rng(seed)
    lfc, donor = truth.fold_changes(rng), np.repeat(np.arange(8), 100)
    own = rng.normal(0, 0.4, (8, lfc.size))
    size = rng.choice(truth.mean.sum(1), donor.size)[:, None]
    group = donor < 4
    mean = size * truth.share * 2.0 ** (lfc * group[:, None] + own[donor])
    return truth.draw(mean, rng, group=np.where(group, "a", "b"), donor=donor.astype(str)), lfc


def one_kind(truth: Truth, seed: int, cells: int = 800) -> AnnData:
    """Cells of one kind: the same shares in all, and their own depths."""
    rng = np.random.default_rng(seed)
    size = rng.choice(truth.mean.sum(1), cells)[:, None]
    return truth.draw(size * truth.share, rng, group=rng.choice(["a", "b"], cells, p=[0.2, 0.8]))


# ---- methods: p-values and log2 fold changes of group "a" against the others, by gene


def by_scanpy(method: str) -> Callable[..., pd.DataFrame]:
    def run(adata: AnnData, key: str = "group", group: str = "a", **_: str) -> pd.DataFrame:
        peer = adata.copy()
        sc.pp.normalize_total(peer, target_sum=1e4)
        sc.pp.log1p(peer)
        sc.tl.rank_genes_groups(peer, key, groups=[group], method=method)
        return sc.get.rank_genes_groups_df(peer, group).set_index("names")[["pvals", "logfoldchanges"]]

    return run


def by_scae(**options: object) -> Callable[..., pd.DataFrame]:
    def run(adata: AnnData, key: str = "group", group: str = "a", **more: str) -> pd.DataFrame:
        table = scae.tl.differential_expression(adata, key, groups=[group], overwrite=True, **options, **more)
        return table.set_index("names")[["pvals", "logfoldchanges"]]

    return run


def pseudobulk(adata: AnnData, **_: str) -> pd.DataFrame:
    """Welch's t-test of log counts per million of the donors."""
    names, code = np.unique(adata.obs["donor"].astype(str) + adata.obs["group"].astype(str), return_inverse=True)
    total = np.stack([np.asarray(adata.X[code == i].sum(0)).ravel() for i in range(names.size)])
    value, a = np.log1p(total / total.sum(1, keepdims=True) * 1e6), np.array([name.endswith("a") for name in names])
    p = ttest_ind(value[a], value[~a], equal_var=False).pvalue
    return pd.DataFrame({"pvals": p, "logfoldchanges": (value[a].mean(0) - value[~a].mean(0)) / np.log(2)}, adata.var_names)


WILCOXON, T_TEST = {"scanpy: Wilcoxon": by_scanpy("wilcoxon")}, {"scanpy: t-test": by_scanpy("t-test")}
KNOWN = {"`from_counts=False`": by_scae(from_counts=False)}


def judged(found: pd.DataFrame, lfc: np.ndarray, adata: AnnData) -> dict[str, float]:
    """FDR and power at 5 and 10 %, and the error of the fold changes, over genes in three cells or more."""
    here = np.asarray((adata.X > 0).sum(0)).ravel() >= 3
    found, lfc = found.loc[adata.var_names[here]], lfc[here]
    q = false_discovery_control(found["pvals"].fillna(1).clip(0, 1))
    row: dict[str, float] = {}
    for level in (0.05, 0.1):
        row[f"FDR at {level:.0%}"] = float((lfc[q < level] == 0).mean()) if (q < level).any() else 0.0
        row[f"power at {level:.0%}"] = float((q[lfc != 0] < level).mean())
    return row | {"error of log2 fold change": float(np.sqrt(((found["logfoldchanges"].fillna(0) - lfc) ** 2).mean()))}


# ---- parts


def power_rows(truths: dict[str, Truth], seeds: range) -> Iterator[dict]:
    cases = {
        "one type": {"share": 0.5, "depth": 1.0, "batches": False},
        "a tenth of all": {"share": 0.1, "depth": 1.0, "batches": False},
        "half as deep": {"share": 0.5, "depth": 0.5, "batches": False},
        "two batches": {"share": 0.5, "depth": 1.0, "batches": True},
    }
    for truth in truths.values():
        for seed in seeds:
            for case, options in cases.items():
                adata, lfc = two_groups(truth, seed, **options)
                more = {"batch_key": "batch"} if options["batches"] else {}
                for method, run in (WILCOXON | T_TEST | KNOWN).items():
                    yield {"cells": case, "method": method} | judged(run(adata, **more), lfc, adata)
            adata, lfc = donors(truth, seed)
            replicated = {"`replicate_key`": by_scae(from_counts=False, replicate_key="donor"), "pseudobulk, t-test": pseudobulk}
            for method, run in (WILCOXON | KNOWN | replicated).items():
                yield {"cells": "four donors a group", "method": method} | judged(run(adata), lfc, adata)


def null_rows(truths: dict[str, Truth], seeds: range) -> Iterator[dict]:
    """Share of small p where there is nothing to be found."""
    for truth in truths.values():
        for seed in seeds:
            adata = one_kind(truth, seed)
            peer = adata.copy()
            sc.pp.normalize_total(peer, target_sum=1e4)
            sc.pp.log1p(peer)
            sc.pp.pca(peer, n_comps=20)
            sc.pp.neighbors(peer)
            sc.tl.leiden(peer, resolution=0.8, flavor="igraph", n_iterations=2, directed=False)
            adata.obs["Leiden of PCA"] = peer.obs["leiden"].to_numpy()
            scae.tl.cluster(adata, "vae", n_clusters=3, n_fits=1)
            adata.obs["`tl.cluster`"] = adata.obs["scae_cluster"]
            for key in ("group", "Leiden of PCA", "`tl.cluster`"):
                made = {} if key == "group" else {"`from_counts=True`": by_scae()}
                group = adata.obs[key].value_counts().index[-1 if key == "group" else 0]
                for method, run in (WILCOXON | T_TEST | KNOWN | made).items():
                    p = run(adata, key=key, group=group)["pvals"]
                    p = p[adata.var_names[np.asarray(adata.X.sum(0)).ravel() >= 25]].dropna()
                    small = {f"p < {t:g}": float((p < t).mean()) for t in (0.05, 0.001)}
                    yield {"cells": "groups at random" if key == "group" else key, "method": method} | small


def time_rows(folder: Path) -> Iterator[dict]:
    """Seconds of processor time for 20 groups of the cells and genes of pbmc3k."""
    adata = anndata.read_h5ad(folder / "pbmc3k.h5ad")
    adata.obs["group"] = pd.Categorical((np.arange(adata.n_obs) % 20).astype(str))
    every = {"groups": "all", "overwrite": True}
    for from_counts in (False, True):
        for _ in range(2):  # the first call compiles
            start = time.process_time()
            scae.tl.differential_expression(adata, "group", from_counts=from_counts, **every)
            seconds = time.process_time() - start
        yield {"cells": "20 groups of pbmc3k", "method": f"`from_counts={from_counts}`", "seconds": seconds}
    sc.pp.normalize_total(adata)
    sc.pp.log1p(adata)
    for method in ("wilcoxon", "t-test"):
        start = time.process_time()
        sc.tl.rank_genes_groups(adata, "group", method=method)
        yield {"cells": "20 groups of pbmc3k", "method": f"scanpy: {method}", "seconds": time.process_time() - start}


def markdown(rows: list[dict]) -> str:
    """Means over sets and seeds."""
    table = pd.DataFrame(rows).groupby(["cells", "method"], sort=False).mean()
    lines = ["| cells | method | " + " | ".join(table.columns) + " |", "|---" * (len(table.columns) + 2) + "|"]
    for (cells, method), row in table.iterrows():
        lines.append(f"| {cells} | {method} | " + " | ".join(f"{v:.4f}" if v < 0.01 else f"{v:.3f}" for v in row) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--parts", nargs="+", default=("power", "null", "time"))
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    truths = {name: Truth(read(args.folder / f"{name}.h5ad")) for name in args.sets} if {*args.parts} - {"time"} else {}
    print(INTRO)
    for part in args.parts:
        print(part, file=sys.stderr)
        seeds = range(args.seeds)
        rows = time_rows(args.folder) if part == "time" else {"power": power_rows, "null": null_rows}[part](truths, seeds)
        print(markdown(list(rows)) + "\n", flush=True)


if __name__ == "__main__":
    main()
