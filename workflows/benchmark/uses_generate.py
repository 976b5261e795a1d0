"""Generated and moved cells beside real ones: ``python uses_generate.py DATA_FOLDER``, rows for docs/predicting.md on stdout.

DATA_FOLDER holds h5ad files of raw counts with ``obs["cell_type"]``; that of ``--treated`` has ``obs["batch"]`` with the levels
CTRL and STIM. Progress goes to stderr; ``--sets`` and ``--parts`` choose what to do.
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
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import scae

SETS = ("pbmc3k", "mouse_bladder_2100", "ifnb_kang_2800")
HELD_OUT = ("CD14 Mono", "B", "CD4 Naive T", "NK")
MODELS = ("vae", "denoiser", "vqvae")
GENERATE = """\
## `tl.generate`

As many new cells beside the cells of the fit (at most 2,000):

- **AUC** of two classifiers that tell them apart by 30 principal components of log-normalised counts (.5 is chance): boosted
  trees and logistic regression, five-fold cross-validation;
- median error of mean counts and of variances of log-normalised counts (absolute log ratio), and mean error of the share of
  **zeros**, over genes in at least 5 % of the cells;
- **slope** of the correlations between 200 genes in new cells on those in real ones (1 is best);
- **mixing**, the share of the 15 nearest neighbours that are of the other kind, over that expected by chance (1 is best).
"""
SHIFT = """\
## `tl.shift`

The stimulated cells of one type are left out of the fit and predicted from its control cells: explained variance (r²) of mean
log-normalised expression over all genes, and over the 100 genes that change most.
"""


def read(path: Path, cells: int = 2000) -> AnnData:
    """At most 2,000 cells and 2,000 variable genes."""
    adata = anndata.read_h5ad(path)
    adata.X = sp.csr_matrix(adata.X, dtype=np.float32)
    if adata.n_obs > cells:
        adata = adata[np.random.default_rng(0).choice(adata.n_obs, cells, replace=False)].copy()
    sc.pp.filter_genes(adata, min_cells=3)
    sc.pp.highly_variable_genes(adata, n_top_genes=2000, flavor="seurat_v3", subset=True)
    return adata[np.asarray(adata.X.sum(1)).ravel() >= 5].copy()


def logged(x: sp.csr_matrix) -> sp.csr_matrix:
    total = np.maximum(np.asarray(x.sum(1)).ravel(), 1)
    return sp.csr_matrix(sp.diags(1e4 / total) @ x).log1p()


# ---- generated cells


def compared(real: sp.csr_matrix, new: sp.csr_matrix) -> dict[str, float]:
    """How new cells differ from real ones."""
    both, kind = sp.vstack([logged(real), logged(new)]).tocsr(), np.repeat([1, 0], [real.shape[0], new.shape[0]])
    z, folds = sc.pp.pca(both, n_comps=30, random_state=0), StratifiedKFold(5, shuffle=True, random_state=0)
    judges = {
        "trees": HistGradientBoostingClassifier(random_state=0),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
    }
    found = {
        f"AUC, {name}": roc_auc_score(kind, cross_val_predict(judge, z, kind, cv=folds, method="predict_proba")[:, 1])
        for name, judge in judges.items()
    }
    neighbor = NearestNeighbors(n_neighbors=15).fit(z).kneighbors(return_distance=False)
    expected = 2 * kind.mean() * (1 - kind.mean())
    one, two = (x.toarray().astype(np.float64) for x in (real, new))
    logs = [logged(x).toarray() for x in (real, new)]
    often = (one > 0).mean(0) >= 0.05
    top = np.argsort(-one.mean(0))[:200]
    pairs = np.triu_indices(200, 1)
    slopes = [np.corrcoef(x[:, top].T)[pairs] for x in logs]
    return found | {
        "mean": float(np.median(np.abs(np.log(two.mean(0) / one.mean(0)))[often])),
        "variance": float(np.median(np.abs(np.log(logs[1].var(0) / logs[0].var(0)))[often])),
        "zeros": float(np.abs((one == 0).mean(0) - (two == 0).mean(0))[often].mean()),
        "slope": float(np.polyfit(*slopes, 1)[0]),
        "mixing": float((kind[neighbor] != kind[:, None]).mean() / expected),
    }


def generated(adata: AnnData) -> Iterator[tuple[str, sp.csr_matrix, sp.csr_matrix]]:
    """Method, real cells and new ones."""
    rng, n = np.random.default_rng(0), adata.n_obs
    order = rng.permutation(n)
    yield "other real cells", adata.X[order[::2]], adata.X[order[1::2]]
    values = adata.X.toarray()
    yield "each gene permuted", adata.X, sp.csr_matrix(np.column_stack([rng.permutation(column) for column in values.T]))
    for name in MODELS:
        model = scae.tl.fit(adata, name)
        if name != "vqvae":
            scae.tl.denoise(adata, model, kind="sample", key_added="drawn", overwrite=True)
            yield f'`tl.denoise("{name}", kind="sample")`', adata.X, sp.csr_matrix(adata.layers["drawn"])
        for prior in ("aggregate", "prior"):
            yield f'`tl.generate("{name}", prior="{prior}")`', adata.X, scae.tl.generate(adata, model, n, prior=prior).X


# ---- moved cells


def explained(predicted: np.ndarray, real: np.ndarray) -> float:
    return float(np.corrcoef(predicted, real)[0, 1] ** 2)


def moved(seen: AnnData, held_out: str) -> Iterator[tuple[str, np.ndarray]]:
    """Method, and predicted mean log-normalised expression of a type whose stimulated cells are not among those seen."""
    kind, stimulated = seen.obs["cell_type"].astype(str).to_numpy(), (seen.obs["batch"] == "STIM").to_numpy()
    control, values = (kind == held_out) & ~stimulated, logged(seen.X).toarray()
    pairs = [((kind == k) & stimulated, (kind == k) & ~stimulated) for k in sorted(set(kind)) if k != held_out]
    pairs = [(a, b) for a, b in pairs if min(a.sum(), b.sum()) >= 5]

    def difference(x: np.ndarray) -> np.ndarray:
        return np.mean([x[a].mean(0) - x[b].mean(0) for a, b in pairs], axis=0)

    yield "control cells as they are", values[control].mean(0)
    yield "mean difference of the other types, in log space", values[control].mean(0) + difference(values)
    for key in (None, "batch"):
        model = scae.tl.fit(seen, "vae", **({} if key is None else {"batch_key": key}))
        given = "" if key is None else ", `batch_key`"
        scae.tl.embed(seen, model, overwrite=True)
        z = seen.obsm["X_scae"]
        at = {"kind": "sample", "library_size": np.asarray(seen.X[control].sum(1)).ravel()}
        at |= {} if key is None else {"at_batch": "STIM"}

        def drawn(latents: np.ndarray, model: scae.Autoencoder = model, at: dict = at) -> np.ndarray:
            return logged(scae.tl.decode(latents, model, **at).X).mean(0).A1

        if key is not None:
            yield '`tl.decode(at_batch="STIM")`', drawn(z[control])
        yield f"scGen's recipe{given}", drawn(z[control] + difference(z))
        there = scae.tl.shift(seen, model, "batch", "CTRL", "STIM", label=held_out, label_key="cell_type", min_support=0)
        print(held_out, key, "median support", there.obs["support"].median(), file=sys.stderr)
        yield f"`tl.shift`{given}", drawn(there.obsm["X_scae"])


def shift_rows(adata: AnnData) -> Iterator[dict]:
    for held_out in HELD_OUT:
        of_type, stimulated = (adata.obs["cell_type"] == held_out).to_numpy(), (adata.obs["batch"] == "STIM").to_numpy()
        real, control = (logged(adata.X[of_type & at]).mean(0).A1 for at in (stimulated, ~stimulated))
        changed = np.argsort(-np.abs(real - control))[:100]
        for method, found in moved(adata[~(of_type & stimulated)].copy(), held_out):
            all_genes, top = explained(found, real), explained(found[changed], real[changed])
            yield {"method": method, "set": held_out, "all genes": all_genes, "100 genes": top}


# ---- tables


def number(value: float) -> str:
    return f"{value:.3f}".replace("0.", ".", 1).replace("-", "−")


def markdown(table: pd.DataFrame, corner: str) -> str:
    lines = [f"| {corner} | " + " | ".join(map(str, table.columns)) + " |", "|---" * (table.shape[1] + 1) + "|"]
    return "\n".join(
        lines
        + [f"| {name} | " + " | ".join(map(number, row)) + " |" for name, row in zip(table.index, table.to_numpy(), strict=True)]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--treated", default="ifnb_kang_2800")
    parser.add_argument("--parts", nargs="+", default=("generate", "shift"))
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    np.seterr(divide="ignore")
    if "generate" in args.parts:
        print(GENERATE)
        for name in args.sets:
            rows = {}
            for method, real, new in generated(read(args.folder / f"{name}.h5ad")):
                rows[method] = compared(real, new)
                print(name, method, rows[method], file=sys.stderr)
            print(markdown(pd.DataFrame(rows).T, name) + "\n")
    if "shift" in args.parts:
        print(SHIFT)
        found = pd.DataFrame(shift_rows(read(args.folder / f"{args.treated}.h5ad", cells=10_000)))
        for measure in ("all genes", "100 genes"):
            table = found.pivot_table(index="method", columns="set", values=measure, sort=False)
            print(markdown(table.assign(mean=table.mean(axis=1)), measure) + "\n")


if __name__ == "__main__":
    main()
