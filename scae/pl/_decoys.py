"""Permuted genes, which are unrelated to all others by construction, and the same model fitted to them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from ..infer import denoised
from ..keys import DataSpec
from ..presets import Preset
from ..source import CountMatrix
from ..tl._fit import FitOptions, fit_preset


def permuted(counts: sp.csr_matrix, gene: int, n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """``n`` copies of a gene's counts, each permuted over the cells and brought to their depths: ``(cells, n)``.

    Without the change of depth, all copies would share the depths of the cells they came from and so be correlated. Counts that
    move to a shallower cell are thinned; to a deeper cell, Poisson counts are added. The expected share of a cell's counts is
    then the same for all cells.
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
    """Fit a model again to all genes and ``n`` permuted copies of each of two genes, and denoise the copies.

    Parameters
    ----------
    adata
        The cells, with their covariates and gene annotation.
    data, source
        The data to which the model was fitted, and the counts.
    preset
        The model and its training plan.
    genes
        Two of the modelled genes.
    n
        Number of copies of each gene.
    seed
        Seed of the permutations and of the fit.

    Returns
    -------
    tuple of numpy.ndarray
        Denoised copies of the first and of the second gene, ``(cells, n)`` each: log1p of expected counts per 10⁴. Any
        correlation between them comes from the model.
    """
    rng = np.random.default_rng(seed)
    counts = sp.csr_matrix((source.value, source.gene, source.indptr), (len(source), data.n_genes))
    copies = [permuted(counts, data.genes.index(gene), n, rng) for gene in genes]
    var = adata.var.set_axis(adata.var_names.astype(str)).loc[[*data.genes, *(gene for gene in genes for _ in range(n))]]
    var = var.set_axis([*data.genes, *(f"permuted {k}" for k in range(2 * n))])
    both = AnnData(sp.hstack([counts, *map(sp.csr_matrix, copies)], format="csr"), obs=adata.obs, var=var)
    keys = replace(data.keys, layer=None, mask_var=(True,) * len(var))
    model, again = fit_preset(both, preset, FitOptions(keys, random_state=seed))
    rates = np.concatenate([block[:, data.n_genes :] for _, block in denoised(model, again, kind="rate", library_size=1e4)])
    logged = np.log1p(rates.astype(np.float64))
    return logged[:, :n], logged[:, n:]
