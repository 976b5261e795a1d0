"""Sums of clipped Pearson residuals of a negative binomial model with one overdispersion."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from .. import threads
from .jit import jit
from .rows import Rows, each_chunk, n_chunks, pieces


@jit
def _residual(v, mu, theta, clip):
    return min(max((v - mu) / sqrt(mu + mu * mu / theta), -clip), clip)


@jit(reorder=True)
def _of_zeros(start, stop, shares, depths, repeats, theta, clip, out):
    """Σr and Σr² of each gene as if all counts were zero; cells of one depth have one residual."""
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
    """Add what the stored counts change."""
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
    """``(genes, 2)``: Σr and Σr² over all cells, zeros included; columns must have been checked before.

    Parameters
    ----------
    m
        Counts of the cells.
    depths
        Total count of each cell, ``(cells,)``.
    shares
        Each gene's share of all counts, ``(genes,)``.
    theta
        Overdispersion: the variance is μ + μ²/θ.
    clip
        Largest absolute residual.
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
