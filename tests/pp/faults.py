"""Sparse matrices whose arrays contradict each other, and every verb; run in a process of its own, where a crash can be seen."""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

import anndata
import h5py
import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from scae import pp
from scae.errors import ScaeError

HUGE = 2**30  # far enough outside for a read to hit no memory of the process

FAULTS = {
    "index too large": lambda x: x.indices.__setitem__(7, HUGE),
    "index just too large": lambda x: x.indices.__setitem__(x.indptr[3] - 1, min(x.shape) + max(x.shape)),
    "index negative": lambda x: x.indices.__setitem__(7, -HUGE),
    "pointer decreases": lambda x: x.indptr.__setitem__(5, HUGE),
    "pointer negative": lambda x: x.indptr.__setitem__(5, -HUGE),
    "pointers end late": lambda x: x.indptr.__setitem__(-1, HUGE),
    "pointers end early": lambda x: x.indptr.__setitem__(slice(-3, None), x.indptr[-4]),
    "pointers too few": lambda x: setattr(x, "indptr", np.r_[x.indptr[:-9], x.indptr[-1:]]),
    "pointers too many": lambda x: setattr(x, "indptr", np.r_[x.indptr, x.indptr[-1:]]),
    "no pointers": lambda x: setattr(x, "indptr", x.indptr[:0]),
    "values missing": lambda x: setattr(x, "data", x.data[:-5]),
    "indices missing": lambda x: setattr(x, "indices", x.indices[:-5]),
    "fractional indices": lambda x: setattr(x, "indices", x.indices + 0.5),
}
VERBS = {
    "calculate_qc_metrics": lambda a: pp.calculate_qc_metrics(a, percent_top=(5,), inplace=True),
    "filter_cells by genes": lambda a: pp.filter_cells(a, min_genes=3),
    "filter_cells by counts": lambda a: pp.filter_cells(a, min_counts=3, inplace=False),
    "filter_genes by cells": lambda a: pp.filter_genes(a, min_cells=3),
    "filter_genes of a matrix": lambda a: pp.filter_genes(a.X, min_counts=3),
    "normalize_total": pp.normalize_total,
    "normalize_total without the most expressed": lambda a: pp.normalize_total(a, exclude_highly_expressed=True),
    "log1p": pp.log1p,
    "log1p of a matrix": lambda a: pp.log1p(a.X, copy=True),
    "log1p of a view": lambda a: pp.log1p(a[:9, 3:]),
    "scale": pp.scale,
    "scale without centre": lambda a: pp.scale(a, zero_center=False),
    "scale with a mask": lambda a: pp.scale(a, mask_obs=np.arange(a.n_obs) < 9),
    "downsample_counts": lambda a: pp.downsample_counts(a, 5),
    "thin_counts": pp.thin_counts,
    "size_factors": pp.size_factors,
    "size_factors by median": lambda a: pp.size_factors(a, "median_of_ratios"),
    "rank_by_deviance": lambda a: pp.rank_by_deviance(a, batch_key="batch"),
    "seurat": pp.highly_variable_genes,
    "seurat_v3": lambda a: pp.highly_variable_genes(a, flavor="seurat_v3", batch_key="batch"),
    "pearson_residuals": lambda a: pp.highly_variable_genes(a, flavor="pearson_residuals", n_top_genes=5),
    "recipe": lambda a: pp.recipe(a, min_genes=1, min_cells=1, n_top_genes=5),
}
KINDS = {"csr": sp.csr_matrix, "csc": sp.csc_matrix}


def broken(kind: str, fault: str, place: str = "X") -> AnnData:
    """Return AnnData with a fault in ``X`` or in a layer."""
    values = np.random.default_rng(0).poisson(1.0, (60, 40)).astype(np.float32)
    adata = AnnData(KINDS[kind](values))
    adata.obs["batch"] = ["a", "b"] * 30
    adata.layers["other"] = KINDS[kind](values)
    FAULTS[fault](adata.X if place == "X" else adata.layers[place])
    return adata


def state(adata: AnnData) -> tuple:
    """Return what a verb must not change if it refuses its input."""
    x = adata.X
    arrays = (x.data.tobytes(), x.indices.tobytes(), x.indptr.tobytes())
    return arrays, list(adata.obs), list(adata.var), list(adata.layers), list(adata.uns), adata.shape


def refusal(call, *args) -> str:
    """Return nothing if the call raises an error of scae, or else what it did."""
    try:
        call(*args)
    except ScaeError as error:
        return "" if len(str(error)) > 20 else f"says only {error}"
    except BaseException as error:
        return f"raises {error!r}"
    return "accepts it"


def broken_file(path: Path, adata: AnnData) -> None:
    """Write an object to a file whose ``X`` has the same fault."""
    bad = adata.X
    sound = AnnData(type(bad)(np.ones(adata.shape, np.float32)), obs=adata.obs, var=adata.var)
    sound.write_h5ad(path)
    with h5py.File(path, "a") as file:
        for name in ("data", "indices", "indptr"):
            del file["X"][name]
            file["X"][name] = getattr(bad, name)


def try_memory() -> list[str]:
    """Call every verb with every fault of matrices in memory."""
    wrong = []
    for kind in KINDS:
        for fault in FAULTS:
            for name, verb in VERBS.items():
                adata = broken(kind, fault)
                before = state(adata)
                print(name, kind, fault, file=sys.stderr, flush=True)  # the last line tells which call crashed
                said = refusal(verb, adata)
                said = said or ("changes the object" if state(adata) != before else "")
                wrong += [f"{name} of {kind}, {fault}: {said}"] if said else []
            for name in ("filter_cells by genes", "filter_genes by cells", "recipe"):  # they take a part of each layer
                print(name, kind, fault, "in a layer", file=sys.stderr, flush=True)
                said = refusal(VERBS[name], broken(kind, fault, "other"))
                wrong += [f"{name} with a layer of {kind}, {fault}: {said}"] if said else []
    return wrong


def try_files() -> list[str]:
    """Call ``preprocess_file`` and a verb on a backed matrix with every fault of matrices in files."""
    wrong, folder = [], Path(tempfile.mkdtemp())
    for kind in KINDS:
        for fault in FAULTS:
            broken_file(folder / "in.h5ad", broken(kind, fault))
            print("preprocess_file", kind, fault, file=sys.stderr, flush=True)
            options = {"min_genes": 1, "min_cells": 1, "n_top_genes": 5}
            said = refusal(lambda o=options: pp.preprocess_file(folder / "in.h5ad", folder / "out.h5ad", **o))
            said = said or ("leaves a file" if (folder / "out.h5ad").exists() else "")
            wrong += [f"preprocess_file of {kind}, {fault}: {said}"] if said else []
            backed = anndata.read_h5ad(folder / "in.h5ad", backed="r")
            said = refusal(lambda b=backed: pp.calculate_qc_metrics(b, percent_top=None))
            backed.file.close()
            wrong += [f"calculate_qc_metrics of a {kind} file, {fault}: {said}"] if said else []
    return wrong


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print("\n".join({"memory": try_memory, "files": try_files}[sys.argv[1]]()))
