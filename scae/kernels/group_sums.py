"""Weighted sums of counts over groups of cells, gene by gene, from which groups are compared."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from .. import threads
from .jit import jit

# The last axis of :func:`group_sums`: x is a count, s the cell's library size, c = 1 / (1 + α s ρ) its weight.
CS, CCS, CCSS, CCCS, CCCSS, CCCSSS, CX, CCSX, CCXX = range(9)


@jit
def _sums(start, stop, indptr, cell, value, size, place, rate, alpha, out):
    """Add the sums of a range of genes to ``out``."""
    for g in range(start, stop):
        a = alpha[g]
        for i in range(size.size):
            p, s = place[i], size[i]
            c = 1.0 / (1.0 + a * s * rate[g, p])
            cs, cc = c * s, c * c
            out[g, p, 0] += cs
            out[g, p, 1] += c * cs
            out[g, p, 2] += cs * cs
            out[g, p, 3] += cc * cs
            out[g, p, 4] += c * cs * cs
            out[g, p, 5] += cs * cs * cs
        for k in range(indptr[g], indptr[g + 1]):
            i = cell[k]
            p, s = place[i], size[i]
            cx = np.float64(value[k]) / (1.0 + a * s * rate[g, p])
            out[g, p, 6] += cx
            out[g, p, 7] += cx * s / (1.0 + a * s * rate[g, p])
            out[g, p, 8] += cx * cx


def group_sums(
    counts: sp.csc_matrix,
    size: NDArray[np.float64],
    place: NDArray[np.int64],
    rate: NDArray[np.float64],
    alpha: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Sums over each group of cells, for each gene.

    A cell's count x has the weight c = 1 / (1 + α s ρ), which is inversely proportional to the variance of x / s of a negative
    binomial whose mean is s ρ and whose variance is s ρ + α (s ρ)².

    Parameters
    ----------
    counts
        Cells × genes, canonical.
    size
        Library size s of each cell, ``(cells,)``.
    place
        Group of each cell, ``(cells,)``.
    rate
        ρ of each gene and group, ``(genes, groups)``.
    alpha
        α of each gene, ``(genes,)``.

    Returns
    -------
    array, shape (genes, groups, 9)
        Σ c s, Σ c² s, Σ c² s², Σ c³ s, Σ c³ s², Σ c³ s³, Σ c x, Σ c² s x and Σ c² x².
    """
    out = np.zeros((counts.shape[1], rate.shape[1], 9))
    arrays = (counts.indptr, counts.indices, counts.data, size, place, rate, alpha)
    threads.run(_sums, counts.shape[1], *arrays, out, work=counts.shape[0] * counts.shape[1])
    return out
