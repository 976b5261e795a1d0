"""Genes that by construction have nothing to do with any other, and what a model makes of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from ..infer import denoised
from ..presets import Preset
from ..records import DataSpec
from ..source import CountMatrix
from ..tl._fit import FitOptions, fit_preset


def permuted(counts: sp.csr_matrix, gene: int, n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """``(cells, n)``: a gene's counts handed to other cells at random, n times, at the depth of the cell that gets them.

    A cell of another depth gets as many more or fewer: permuted as they are, counts would tell the depth, and all copies would
    share that. Where depth falls, molecules are drawn; where it rises, some are added (Poisson), so that the expected share of a
    cell's counts is the same for all cells.
    """
    column = counts[:, [gene]].toarray().ravel()
    depth = np.asarray(counts.sum(1), np.float64).ravel()
    donors = np.flatnonzero(depth > 0)
    out = np.empty((column.size, n), np.float32)
    for i in range(n):
        donor = np.resize(rng.permutation(donors), column.size)
        factor = depth / depth[donor]
        fewer = rng.binomial(column[donor].astype(np.int64), np.minimum(factor, 1))
        out[:, i] = fewer + rng.poisson(column[donor] * np.maximum(factor - 1, 0))
    return out


def decoys(
    adata: AnnData, data: DataSpec, source: CountMatrix, preset: Preset, genes: tuple[str, str], n: int, *, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit a model again with ``n`` permuted copies of each of two genes beside all others, and denoise the copies.

    Parameters
    ----------
    adata
        The cells, for their covariates, and what ``var`` says of the genes.
    data, source
        What the model is fitted to, and its counts.
    preset
        The model and its plan.
    genes
        Two of the modelled genes.
    n
        Copies of each.
    seed
        Seed of the permutations and of the fit.

    Returns
    -------
    tuple of numpy.ndarray
        ``(cells, n)`` each: log1p of expected counts per 10⁴. Whatever correlation a copy of one has with a copy of the other,
        the model has put there.
    """
    rng = np.random.default_rng(seed)
    counts = sp.csr_matrix((source.value, source.gene, source.indptr), (len(source), data.n_genes))
    copies = [permuted(counts, data.genes.index(gene), n, rng) for gene in genes]
    var = adata.var.set_axis(adata.var_names.astype(str)).loc[[*data.genes, *(gene for gene in genes for _ in range(n))]]
    var = var.set_axis([*data.genes, *(f"permuted {k}" for k in range(2 * n))])
    both = AnnData(sp.hstack([counts, *map(sp.csr_matrix, copies)], format="csr"), obs=adata.obs, var=var)
    keys = replace(data.keys, layer=None, mask_var=(True,) * len(var))
    model, again = fit_preset(both, preset, FitOptions(keys, random_state=seed))
    found = np.concatenate([block[:, data.n_genes :] for _, block in denoised(model, again, kind="rate", library_size=1e4)])
    logged = np.log1p(found.astype(np.float64))
    return logged[:, :n], logged[:, n:]
