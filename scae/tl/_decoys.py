"""Permuted genes, which are unrelated to all others by construction, and a model fitted to them beside the real ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from ..infer import denoised
from ..keys import DataSpec
from ..model import Autoencoder
from ..posterior import corrected
from ..presets import Preset
from ..source import CountMatrix
from ._fit import FitOptions, fit_preset

_LIBRARY = "library without permuted genes"  # column of obs


def permuted(
    counts: sp.csr_matrix, gene: int, n: int, rng: np.random.Generator, batch: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """``n`` copies of a gene's counts, each permuted over the cells (of a batch) and brought to their depths: ``(cells, n)``.

    Without the change of depth, all copies would share the depths of the cells they came from and so be correlated. Counts that
    move to a shallower cell are thinned; to a deeper cell, Poisson counts are added. The expected share of a cell's counts is
    then the same for all cells, or all cells of a batch.
    """
    column = counts[:, [gene]].toarray().ravel()
    depth = np.asarray(counts.sum(1), np.float64).ravel()
    groups = [np.arange(column.size)] if batch is None else [np.flatnonzero(batch == code) for code in np.unique(batch)]
    out, donor = np.empty((column.size, n), np.float32), np.empty(column.size, np.int64)
    for i in range(n):
        for here in groups:
            some = here[depth[here] > 0]
            donor[here] = np.resize(rng.permutation(some if some.size else here), here.size)
        factor = depth / np.maximum(depth[donor], 1)
        fewer = rng.binomial(column[donor].astype(np.int64), np.minimum(factor, 1))
        out[:, i] = fewer + rng.poisson(column[donor] * np.maximum(factor - 1, 0))
    return out


def with_copies(
    adata: AnnData, data: DataSpec, source: CountMatrix, preset: Preset, genes: tuple[str, ...], n: int, options: FitOptions
) -> tuple[Autoencoder, CountMatrix]:
    """Fit a model to all genes and ``n`` permuted copies of each of some genes.

    The copies are no part of the library sizes, so that they cannot change the normalised counts of the genes.

    Parameters
    ----------
    adata
        The cells, with their covariates and gene annotation.
    data, source
        The genes and keys, and the counts.
    preset
        The model and its training plan.
    genes
        Genes to copy.
    n
        Number of copies of each gene.
    options
        Those of the fit; its seed is also that of the permutations.

    Returns
    -------
    tuple
        The fitted model, and the counts of all genes followed by those of the copies, gene by gene.
    """
    rng = np.random.default_rng(options.random_state)
    counts = sp.csr_matrix((source.value, source.gene, source.indptr), (len(source), data.n_genes))
    copies = [sp.csr_matrix(permuted(counts, data.genes.index(gene), n, rng, source.batch)) for gene in genes]
    var = adata.var.set_axis(adata.var_names.astype(str)).loc[[*data.genes, *(gene for gene in genes for _ in range(n))]]
    var = var.set_axis([*data.genes, *(f"permuted {k}" for k in range(n * len(genes)))])
    depth = np.maximum(np.asarray(counts.sum(1), np.float64).ravel(), 1)
    both = AnnData(sp.hstack([counts, *copies], format="csr"), obs=adata.obs.assign(**{_LIBRARY: depth}), var=var)
    keys = replace(data.keys, layer=None, mask_var=(True,) * len(var), size_factor=data.keys.size_factor or _LIBRARY)
    return fit_preset(both, preset, replace(options, keys=keys))


def decoys(
    adata: AnnData,
    data: DataSpec,
    source: CountMatrix,
    preset: Preset,
    genes: tuple[str, str],
    n: int,
    *,
    seed: int,
    posterior: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Denoised permuted copies of two genes, ``(cells, n)`` each: log1p of expected counts per 10⁴.

    Any correlation between the copies of one and of the other comes from the model. With ``posterior``, the expected counts are
    those given the copies' own counts. For the other parameters, see :func:`with_copies`.
    """
    model, again = with_copies(adata, data, source, preset, genes, n, FitOptions(data.keys, random_state=seed))
    given = (mean for _, (mean, _) in corrected(model, again, library_size=1e4))
    blocks = given if posterior else (mean for _, mean in denoised(model, again, library_size=1e4))
    logged = np.log1p(np.concatenate([block[:, data.n_genes :] for block in blocks]).astype(np.float64))
    return logged[:, :n], logged[:, n:]
