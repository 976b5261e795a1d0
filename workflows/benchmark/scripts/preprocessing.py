"""Compare scae.pp with scanpy.pp on one matrix, alternating in one process: seconds, ratios, memory, compilation time.

usage: preprocessing.py [--cells 50000] [--genes 20000] [--stored 2300] [--rounds 4] [--out table.tsv]

The medians leave out the first call of each package, in which kernels are loaded or compiled. ``noise`` is the median absolute
deviation of the ratio over rounds, divided by its median. For reference, a plain copy of the matrix is timed with each function.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData

import scae

TOP = {"n_top_genes": 2000}


def matrix(cells: int, genes: int, stored: int) -> sp.csr_matrix:
    """Random counts; the genes' shares are gamma-distributed."""
    rng = np.random.default_rng(0)
    share = rng.gamma(0.3, 1, genes)
    draws = int(stored * 1.3)
    cumulated = np.cumsum(share / share.sum())
    columns = np.minimum(np.searchsorted(cumulated, rng.random(cells * draws)), genes - 1).astype(np.int32)
    x = sp.csr_matrix((np.ones(columns.size, np.float32), columns, np.arange(0, columns.size + 1, draws)), shape=(cells, genes))
    x.sum_duplicates()
    return x


def pipeline(pp: Any, adata: AnnData) -> None:
    """The usual pipeline, one function call after another."""
    pp.calculate_qc_metrics(adata, qc_vars=["mt"], inplace=True, percent_top=(50,))
    pp.filter_cells(adata, min_genes=200)
    pp.filter_genes(adata, min_cells=3)
    adata.layers["counts"] = adata.X.copy()
    pp.normalize_total(adata, target_sum=1e4)
    pp.log1p(adata)
    pp.highly_variable_genes(adata, **TOP)


def recipe(pp: Any, adata: AnnData) -> None:
    """The pipeline in one call: ``recipe`` for scae, the usual functions for scanpy."""
    if pp is scae.pp:
        pp.recipe(adata, qc_vars=["mt"], **TOP)
    else:
        pipeline(pp, adata)


def normalise_and_log(pp: Any, adata: AnnData) -> None:
    """``normalize_total`` followed by ``log1p``."""
    pp.normalize_total(adata, target_sum=1e4)
    pp.log1p(adata)


STEPS: dict[str, Callable[[Any, AnnData], object]] = {
    "quality": lambda pp, a: pp.calculate_qc_metrics(a, qc_vars=["mt"], inplace=True, percent_top=(50,)),
    "filter_cells": lambda pp, a: pp.filter_cells(a, min_genes=200),
    "filter_genes": lambda pp, a: pp.filter_genes(a, min_cells=3),
    "normalize_total": lambda pp, a: pp.normalize_total(a, target_sum=1e4),
    "log1p": lambda pp, a: pp.log1p(a),
    "normalise and log": normalise_and_log,
    "variable, seurat_v3": lambda pp, a: pp.highly_variable_genes(a, flavor="seurat_v3", **TOP),
    "pipeline": pipeline,
    "recipe": recipe,
}


class Peak:
    """Peak memory of this process during a ``with`` block, above its memory at the start."""

    def __enter__(self) -> Peak:
        self.start = self.most = self._now()
        self._done = False
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done = True
        self._thread.join()

    @staticmethod
    def _now() -> int:
        with open("/proc/self/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def _watch(self) -> None:
        while not self._done:
            self.most = max(self.most, self._now())
            time.sleep(0.002)


def timed(base: AnnData, step: Callable[[Any, AnnData], object], pp: Any) -> tuple[float, float]:
    """Seconds, and peak gigabytes above the start."""
    gc.collect()  # anndata's views form reference cycles: without this, matrices of earlier rounds stay in memory
    adata = base.copy()
    with Peak() as peak:
        start = time.perf_counter()
        step(pp, adata)
        seconds = time.perf_counter() - start
    return seconds, (peak.most - peak.start) / 1e9


def compare(base: AnnData, name: str, rounds: int) -> dict[str, object]:
    """One row of the table: one function, both packages."""
    found = np.array([[timed(base, STEPS[name], pp) for pp in (sc.pp, scae.pp)] for _ in range(rounds)])
    seconds, memory = found[1:, :, 0], found[1:, :, 1].max(axis=0)
    ratios = seconds[:, 0] / seconds[:, 1]
    ratio = float(np.median(ratios))
    start = time.perf_counter()
    base.X.copy()
    return {
        "verb": name,
        "ratio": round(ratio, 1),
        "noise": round(float(np.median(np.abs(ratios - ratio))) / ratio, 2),
        "scanpy s": round(float(np.median(seconds[:, 0])), 3),
        "scae s": round(float(np.median(seconds[:, 1])), 3),
        "scanpy first s": round(float(found[0, 0, 0]), 2),
        "scae first s": round(float(found[0, 1, 0]), 2),
        "scanpy GB": round(float(memory[0]), 2),
        "scae GB": round(float(memory[1]), 2),
        "copy s": round(time.perf_counter() - start, 2),
    }


FRESH = """
import time, numpy as np, scipy.sparse as sp, anndata, sys
sys.path.insert(0, {folder!r})
import scae.pp as pp
x = sp.random(5000, 1000, 0.25, "csr", np.float32, np.random.default_rng(0)); x.data = np.ceil(x.data * 5)
for _ in range(2):
    a = anndata.AnnData(x.copy()); a.var["mt"] = np.arange(1000) < 9
    start = time.perf_counter()
    pp.calculate_qc_metrics(a, qc_vars=["mt"], inplace=True, percent_top=(50,)); pp.filter_cells(a, min_genes=200)
    pp.filter_genes(a, min_cells=3); pp.normalize_total(a, target_sum=1e4); pp.log1p(a)
    pp.highly_variable_genes(a, n_top_genes=200)
    print(round(time.perf_counter() - start, 2))
"""


def fresh_process(cache: str) -> str:
    """Seconds of the first and the second run of the pipeline in a new process."""
    code = FRESH.format(folder=os.path.dirname(os.path.dirname(scae.__file__)))
    env = os.environ | {"NUMBA_CACHE_DIR": cache}
    return ", ".join(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env).stdout.split()
    )


def main() -> None:
    """Print the table, and write it to a file if ``--out`` is given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("cells", 50_000), ("genes", 20_000), ("stored", 2300), ("rounds", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--verbs", nargs="*", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--out")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    base = AnnData(matrix(args.cells, args.genes, args.stored))
    base.var["mt"] = np.random.default_rng(1).random(args.genes) < 0.001
    size = (base.X.data.nbytes + base.X.indices.nbytes) / 1e9
    print(
        f"{args.cells} cells x {args.genes} genes, {base.X.nnz / 1e6:.0f} M stored, {size:.2f} GB, {os.cpu_count()} CPUs",
        flush=True,
    )
    rows = []
    for name in args.verbs:
        rows.append(compare(base, name, args.rounds))
        print(rows[-1], flush=True)
    with tempfile.TemporaryDirectory() as cache:
        print("first and second pipeline, cold cache:", fresh_process(cache))
        print("first and second pipeline, warm cache:", fresh_process(cache))
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    if args.out:
        table.to_csv(args.out, sep="\t", index=False)


if __name__ == "__main__":
    main()
