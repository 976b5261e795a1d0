"""Sums of clipped Pearson residuals under a negative binomial model with one overdispersion for all genes."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from .. import threads
from .jit import jit
from .rows import Rows, each_chunk, n_chunks, pieces


@jit
def _residual(v, mu, theta, clip):
    """Return the clipped Pearson residual of the count v."""
    return min(max((v - mu) / sqrt(mu + mu * mu / theta), -clip), clip)


@jit(reorder=True)
def _of_zeros(start, stop, shares, depths, repeats, theta, clip, out):
    """Write Σr and Σr² of each gene as if all counts were zero; cells of equal depth have the same residual."""
    for gene in range(start, stop):
        share = shares[gene]
        if share > 0:
            total, squares = 0.0, 0.0
            for i in range(depths.size):
                mu = share * depths[i]
                r = max(-mu / sqrt(mu + mu * mu / theta), -clip)
                total += repeats[i] * r
                squares += repeats[i] * r * r
            out[gene, 0], out[gene, 1] = total, squares


@jit
def _of_stored(start, stop, offset, matrix, depths, shares, theta, clip, out):
    """Add the differences that the stored counts make to the sums of zeros."""
    indptr, indices, data = matrix
    for row in range(start, stop):
        for k in range(indptr[row] - offset, indptr[row + 1] - offset):
            c = indices[k]
            mu = shares[c] * depths[row]
            if mu > 0:
                r, r0 = _residual(np.float64(data[k]), mu, theta, clip), _residual(0.0, mu, theta, clip)
                out[c, 0] += r - r0
                out[c, 1] += r * r - r0 * r0


def residual_sums(
    m: Rows, depths: NDArray[np.float64], shares: NDArray[np.float64], theta: float, clip: float
) -> NDArray[np.float64]:
    """Compute Σr and Σr² of the Pearson residuals r of each gene over all cells, including those with count 0.

    Parameters
    ----------
    m : Rows
        Counts, cells × genes. The columns must be known to be valid.
    depths : array, shape (cells,)
        Total count of each cell.
    shares : array, shape (genes,)
        Share of each gene in all counts.
    theta : float
        Overdispersion parameter θ: the variance is μ + μ²/θ, so a larger θ means less overdispersion.
    clip : float
        Largest absolute residual.

    Returns
    -------
    array, shape (genes, 2)

    References
    ----------
    Lause, Berens and Kobak (2021), Analytic Pearson residuals for normalization of single-cell RNA-seq UMI data, Genome Biology
    22:258.
    """
    chunks = n_chunks(m)
    stored = np.zeros((chunks, m.n_columns, 2))

    def add(chunk: int, start: int, stop: int) -> None:
        for p in pieces(m, start, stop):
            matrix = (m.indptr, p.indices, p.data)
            _of_stored(p.start, p.stop, p.offset, matrix, depths, shares, theta, clip, stored[chunk])

    each_chunk(m, chunks, add)
    zeros = np.zeros((m.n_columns, 2))
    unique, repeats = np.unique(depths[depths > 0], return_counts=True)
    arguments = (shares, unique, repeats.astype(np.float64), float(theta), float(clip), zeros)
    threads.run(_of_zeros, m.n_columns, *arguments, work=m.n_columns * unique.size)
    return zeros + stored.sum(axis=0)
