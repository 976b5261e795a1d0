"""Denoising by scae and by others, judged by held-out molecules, replicates and proteins.

``python quality.py ROWS.jsonl DATA.h5ad … [--methods vae@posterior denoiser …] [--splits 0 1 2]`` appends a row per method, data
set and split, and skips those that the file has. ``python quality.py ROWS.jsonl --table`` writes the table of docs/denoising.md.

- **Molecules:** a tenth of the molecules is held out; the share of their Poisson deviance that is explained beyond gene mean ×
  library size.
- **Replicates**, where ``obs`` has a column ``replicate_of``: the share of the log fold changes of the other replicates together,
  against the overall mean, that a replicate's denoised values explain. All molecules are used, and split numbers are fit seeds.
- **Proteins**, where ``obsm`` has ``protein_counts``, and ``uns`` the ``protein_genes`` (protein → its genes): Spearman's r of
  denoised RNA and protein, over all cells and within clusters.

Methods are presets of scae (``preset@kind``), ``gene mean``, ``shrunk counts``, ``PCA``, and, where they are installed, ``scvi``
and ``scvi@posterior`` (scae's formula with scVI's own dispersions) and ``magic``.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray
from scipy.stats import nbinom, spearmanr

import scae
from scae import evaluate
from scae.tl._baselines import BASELINES

PAGE = Path(__file__).parents[2] / "docs" / "denoising.md"
START, END = "<!-- table: made by workflows/benchmark/quality.py -->", "<!-- end of table -->"
METHODS = ["denoiser@mean", "denoiser@posterior", "vae@mean", "vae@posterior", "dca@mean", *BASELINES]
METHODS += ["scvi@mean", "scvi@posterior"] if find_spec("scvi") else []
METHODS += ["magic"] if find_spec("magic") else []


def read(path: Path, n_cells: int = 4000, n_genes: int = 2000) -> AnnData:
    """At most 4,000 cells and 2,000 variable genes."""
    adata = anndata.read_h5ad(path)
    adata.X = sp.csr_matrix(adata.X, dtype=np.float32)
    if adata.n_obs > n_cells:
        adata = adata[np.sort(np.random.default_rng(0).choice(adata.n_obs, n_cells, replace=False))].copy()
    sc.pp.filter_genes(adata, min_cells=3)
    sc.pp.filter_cells(adata, min_counts=10)
    if adata.n_vars > n_genes:
        sc.pp.highly_variable_genes(adata, n_top_genes=n_genes, flavor="seurat_v3", subset=True)
    sc.pp.filter_cells(adata, min_counts=5)
    return adata


def expected(adata: AnnData, method: str, seed: int) -> NDArray:
    """Expected counts ``(cells, genes)`` at each cell's own library size."""
    name, _, kind = method.partition("@")
    if name in BASELINES:
        whole = evaluate.Split(adata.X, adata.X, np.arange(adata.n_obs), 1 / 9)
        return np.concatenate([block for _, block in BASELINES[name](whole, 0.9, seed)[0]])
    if name == "scvi":
        return scvi(adata, kind, seed)
    if name == "magic":
        return magic(adata, seed)
    copy = adata.copy()
    scae.tl.denoise(copy, fit(adata, name, seed), kind=kind)
    return copy.layers["denoised"]


_LAST: list = []


def fit(adata: AnnData, name: str, seed: int) -> scae.Autoencoder:
    """The fitted preset, once for all kinds that follow one another."""
    if not _LAST or _LAST[0] is not adata or _LAST[1:3] != [name, seed]:
        _LAST[:] = [adata, name, seed, scae.tl.fit(adata, name, random_state=seed)]
    return _LAST[3]


def scvi(adata: AnnData, kind: str, seed: int) -> NDArray:
    """scvi-tools with a negative binomial and all its defaults; the posterior by the formula of scae."""
    from scvi import model, settings

    settings.seed = seed
    copy = adata.copy()
    model.SCVI.setup_anndata(copy)
    fitted = model.SCVI(copy, gene_likelihood="nb")
    fitted.train(accelerator="cpu", enable_progress_bar=False, logger=False)
    x = adata.X.toarray()
    rate = fitted.get_normalized_expression(library_size=1, n_samples=25, return_mean=True)
    mu = np.asarray(rate) * x.sum(1, keepdims=True)
    if kind == "mean":
        return mu
    theta = np.exp(fitted.module.px_r.detach().numpy())
    return mu * (theta + x) / (theta + mu)


def magic(adata: AnnData, seed: int) -> NDArray:
    """MAGIC on square roots of shares."""
    from magic import MAGIC

    total = np.asarray(adata.X.sum(1))
    rate = np.asarray(MAGIC(verbose=0, random_state=seed).fit_transform(np.sqrt(adata.X.toarray() / total))) ** 2
    return rate / rate.sum(1, keepdims=True) * total


def molecules(adata: AnnData, methods: list[str], split: int) -> Iterator[dict[str, float]]:
    """The score of the protocol for each method."""
    fold = evaluate.split(adata.X, 0.9, 1000 + split)
    seen = adata[fold.cells].copy()
    seen.X = fold.train
    of_null = evaluate.deviance(fold.test, evaluate.null(fold.train), fold.odds)
    for method in methods:
        left = evaluate.deviance(fold.test, evaluate.matrix_blocks(expected(seen, method, split)), fold.odds)
        yield {"molecules": evaluate.explained(left, of_null)[0]} | coverage(seen, method, split, fold)


def coverage(seen: AnnData, method: str, split: int, fold: evaluate.Split) -> dict[str, float]:
    """Of 90 % intervals of the posterior predictive distribution, the share that hold the held-out molecules.

    Over genes with at least a tenth of a held-out molecule per cell; counts are discrete, so that their places are randomised.
    """
    name, _, kind = method.partition("@")
    if kind != "posterior" or name == "scvi":
        return {}
    copy = seen.copy()
    scae.tl.denoise(copy, fit(seen, name, split), kind="posterior", with_sd=True)
    x = fold.test.toarray()
    often = x.mean(0) > 0.1
    if not often.any():
        return {}
    mean, sd, x = (np.asarray(v[:, often], np.float64) for v in (copy.layers["denoised"], copy.layers["denoised_sd"], x))
    shape = (mean / np.maximum(sd, 1e-9)) ** 2
    law = nbinom(shape, shape / (shape + mean * fold.odds))
    place = law.cdf(x) - np.random.default_rng(0).random(x.shape) * law.pmf(x)
    return {"coverage": float(((place > 0.05) & (place < 0.95)).mean())}


def replicates(adata: AnnData, method: str, seed: int) -> dict[str, float]:
    """The share of the other replicates' log fold changes that is explained."""
    x, values = adata.X.toarray(), np.maximum(expected(adata, method, seed), 0)
    base, found = logged(x.sum(0)), logged(values)
    left = whole = 0.0
    for rows in adata.obs.groupby("replicate_of", observed=True).indices.values():
        for row in rows if len(rows) > 1 else ():
            truth = logged(x[rows].sum(0) - x[row])
            left += ((truth - found[row]) ** 2).sum()
            whole += ((truth - base) ** 2).sum()
    return {"replicates": 1 - left / whole}


def logged(values: NDArray) -> NDArray:
    """log1p of counts per ten thousand."""
    return np.log1p(values / np.maximum(values.sum(-1, keepdims=True), 1e-12) * 1e4)


def proteins(adata: AnnData, method: str, seed: int) -> dict[str, float]:
    """Mean Spearman correlation of a protein and the denoised RNA of its genes, over all cells and within clusters."""
    protein = np.log1p(np.asarray(adata.obsm["protein_counts"]))
    protein -= protein.mean(1, keepdims=True)
    values = logged(np.maximum(expected(adata, method, seed), 0))
    cluster = clusters(adata)
    every, within = [], []
    for k, genes in enumerate(adata.uns["protein_genes"].values()):
        for gene in genes:
            if gene in adata.var_names:
                rna = values[:, adata.var_names.get_loc(gene)]
                every.append(spearmanr(rna, protein[:, k])[0])
                each = [spearmanr(rna[c], protein[c, k])[0] for c in cluster if rna[c].std() > 0]
                within.append(np.nanmean(each))
    return {"proteins": float(np.mean(every)), "proteins_within": float(np.mean(within))}


def clusters(adata: AnnData) -> list[NDArray]:
    """Rows of the Leiden clusters of at least 80 cells, by PCA of log-normalised values, so that no method makes its own."""
    copy = adata.copy()
    sc.pp.normalize_total(copy)
    sc.pp.log1p(copy)
    sc.pp.pca(copy, n_comps=30, random_state=0)
    sc.pp.neighbors(copy, random_state=0)
    sc.tl.leiden(copy, resolution=0.6, flavor="igraph", n_iterations=2, random_state=0)
    return [rows for rows in copy.obs.groupby("leiden", observed=True).indices.values() if len(rows) >= 80]


def judged(adata: AnnData, methods: list[str], split: int) -> Iterator[tuple[str, dict[str, float]]]:
    """All that these data can say of each method."""
    truths: list[Callable[[AnnData, str, int], dict[str, float]]] = []
    truths += [replicates] if "replicate_of" in adata.obs else []
    truths += [proteins] if "protein_counts" in adata.obsm and "protein_genes" in adata.uns else []
    for method, row in zip(methods, molecules(adata, methods, split), strict=True):
        for score in truths:
            row |= score(adata, method, split)
        yield method, row


def table(rows: pd.DataFrame) -> str:
    """Means over splits ± standard error, methods × data sets; then the truths."""
    by = rows.groupby(["method", "data"], sort=False)["molecules"]
    mean, se = by.mean().unstack(), (by.std() / np.sqrt(by.size())).unstack()
    shown = mean.map(short) + np.where(se.notna(), " ± " + se.map(short), "")
    shown["mean"] = mean.mean(axis=1).where(mean.notna().all(axis=1)).map(short)
    parts = ["Held-out molecules, deviance explained (± standard error over splits):", markdown(shown)]
    truths = [name for name in ("coverage", "replicates", "proteins", "proteins_within") if name in rows]
    if truths:
        of_truths = rows.groupby("method", sort=False)[truths].mean().dropna(how="all")
        parts += [
            "Coverage of 90 % posterior predictive intervals, and truths beside molecules:",
            markdown(of_truths.map(short)),
        ]
    return "\n\n".join(parts)


def short(value: float) -> str:
    """Three digits after the point."""
    return "–" if np.isnan(value) else f"{value:.3f}".replace("0.", ".", 1).replace("-", "−")


def markdown(frame: pd.DataFrame) -> str:
    """A table in Markdown; the index is its first column."""
    lines = [
        [frame.index.name, *frame.columns],
        ["---"] * (frame.shape[1] + 1),
        *([name, *row] for name, row in zip(frame.index, frame.to_numpy(), strict=True)),
    ]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path)
    parser.add_argument("data", type=Path, nargs="*")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--splits", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--table", action="store_true", help="write the table from the rows")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    lines = args.rows.read_text("utf-8").splitlines() if args.rows.exists() else []
    done = {(row["data"], row["method"], row["split"]) for row in map(json.loads, lines)}
    for path in args.data:
        adata = read(path)
        for split in args.splits:
            left = [method for method in args.methods if (path.stem, method, split) not in done]
            for method, scores in judged(adata, left, split):
                row = {"data": path.stem, "method": method, "split": split} | scores
                with args.rows.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                sys.stderr.write(json.dumps(row) + "\n")
    if args.table:
        before, rest = PAGE.read_text("utf-8").split(START)
        made = table(pd.read_json(args.rows, lines=True))
        PAGE.write_text(f"{before}{START}\n\n{made}\n\n{END}{rest.split(END)[1]}", "utf-8")


if __name__ == "__main__":
    main()
