"""Random matrices and options: no verb raises an unexpected error or crashes the process."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData

from scae import pp
from scae.errors import ScaeError

FORMATS = (sp.csr_matrix, sp.csc_matrix, sp.csr_array, np.array, np.asfortranarray)
TYPES = ("float32", "float64", "int32", "int64", "uint8", "uint16", "int16", "bool")


def random_matrix(rng: np.random.Generator) -> AnnData:
    """Return a matrix of random shape, density, dtype and format, possibly with empty cells or genes, or huge counts."""
    n, genes = (int(v) for v in rng.integers(1, 60, 2))
    values = rng.poisson(rng.choice([0.0, 0.05, 0.5, 5.0]) * rng.gamma(0.7, 1, genes) * np.ones((n, 1)))
    if rng.random() < 0.1:
        values[:] = rng.integers(0, 3)  # constant genes
    if rng.random() < 0.2:
        values[rng.integers(n), rng.integers(genes)] = 2 ** int(rng.integers(8, 31))
    dtype = str(rng.choice(TYPES))
    if dtype not in ("float32", "float64", "bool"):
        values = np.minimum(values, np.iinfo(dtype).max)
    x = FORMATS[rng.integers(len(FORMATS))](values.astype(dtype))
    if sp.issparse(x) and rng.random() < 0.3 and x.nnz:
        x.data[rng.integers(x.nnz)] = 0  # an explicit zero
    if sp.issparse(x) and rng.random() < 0.2:
        x.indices, x.indptr = x.indices.astype(np.int64), x.indptr.astype(np.int64)
    adata = AnnData(x)
    adata.obs["batch"] = np.array(["a", "b", "c"])[rng.integers(0, rng.integers(1, 4), n)]
    adata.obs["mask"] = rng.random(n) < 0.7
    adata.var["mt"] = rng.random(genes) < 0.3
    return adata


def calls(rng: np.random.Generator, genes: int):
    """Return every verb with random options."""

    def yes() -> bool:
        return bool(rng.random() < 0.5)

    batch = "batch" if yes() else None
    top = int(rng.integers(1, 70))
    return [
        (pp.calculate_qc_metrics, {"percent_top": [int(rng.integers(1, genes + 1))], "qc_vars": ["mt"], "inplace": True}),
        (pp.filter_cells, {"min_genes": int(rng.integers(0, 4))}),
        (pp.filter_genes, {"max_counts": int(rng.integers(0, 200))}),
        (pp.normalize_total, {"target_sum": 1e4 if yes() else None, "exclude_highly_expressed": yes(), "max_fraction": 0.3}),
        (pp.log1p, {"base": 2 if yes() else None}),
        (pp.scale, {"zero_center": yes(), "max_value": 2.0 if yes() else None, "mask_obs": "mask" if yes() else None}),
        (pp.downsample_counts, {"counts_per_cell": int(rng.integers(1, 9)), "replace": yes()}),
        (pp.thin_counts, {"fraction": float(rng.uniform(0.05, 0.95))}),
        (pp.size_factors, {"method": "total" if yes() else "median_of_ratios"}),
        (pp.rank_by_deviance, {"family": "binomial" if yes() else "poisson", "n_top_genes": top, "batch_key": batch}),
        (pp.highly_variable_genes, {"flavor": "seurat_v3", "n_top_genes": top, "batch_key": batch, "span": rng.uniform(0.1, 1)}),
        (pp.highly_variable_genes, {"flavor": "pearson_residuals", "n_top_genes": top, "batch_key": batch, "subset": yes()}),
        (dispersion, {"flavor": "seurat", "n_top_genes": top if yes() else None, "batch_key": batch}),
        (dispersion, {"flavor": "cell_ranger", "n_top_genes": top, "batch_key": batch}),
        (pp.recipe, {"min_genes": 0, "min_cells": 0, "n_top_genes": top, "qc_vars": ["mt"]}),
    ]


def dispersion(adata: AnnData, **options) -> None:
    """Log-transform the counts and mark variable genes, for the flavours that expect logarithms."""
    pp.log1p(adata)
    pp.highly_variable_genes(adata, **options)


def survive(seeds: range) -> int:
    """Apply all verbs to one random matrix per seed; return the number of matrices."""
    for seed in seeds:
        rng = np.random.default_rng(seed)
        adata = random_matrix(rng)
        for verb, options in calls(rng, adata.n_vars):
            mine = adata.copy()
            try:
                with warnings.catch_warnings(), np.errstate(all="ignore"):
                    warnings.simplefilter("ignore")
                    verb(mine, **options)
            except ScaeError:
                continue
            except Exception as error:
                raise AssertionError(f"seed {seed}: {verb.__name__}({options}) on {adata.X!r}") from error
            assert mine.n_obs <= adata.n_obs
            assert mine.n_vars <= adata.n_vars
    return len(seeds)


def test_a_hundred_random_matrices():
    assert survive(range(100)) == 100


@pytest.mark.slow
def test_thousands_of_random_matrices():
    n = int(os.environ.get("SCAE_FUZZ", "2000"))  # 10,000 matrices take half an hour
    assert survive(range(100, 100 + n)) == n
