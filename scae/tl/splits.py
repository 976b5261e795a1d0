"""Molecular cross-validation: counts split in two, and what a prediction leaves unexplained of the second part."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..kernels import sampling

FLOOR = 1e-9  # expected held-out molecules of a gene that is said to be impossible
BLOCK = 512  # cells whose expected counts are dense at one time
Blocks = Iterable[tuple[slice, NDArray]]  # rows, and their expected training counts (rows, genes)


@dataclass(frozen=True)
class Split:
    """Counts split molecule by molecule; cells that are left without a training molecule are in neither part.

    Attributes
    ----------
    train, test
        ``(cells, genes)`` CSR float32 without stored zeros.
    cells
        ``(cells,)`` int64: the rows of the whole that they are.
    odds
        Expected held-out molecules for one training molecule.
    """

    train: sp.csr_matrix
    test: sp.csr_matrix
    cells: NDArray[np.int64]
    odds: float


def split(counts: sp.csr_matrix, train_share: float, seed: int) -> Split:
    """Train ~ Binomial(counts, ``train_share``); test is the rest (Batson 2019)."""
    kept = sampling.thin(counts.indptr.astype(np.int64), counts.indices, counts.data.astype(np.float64), train_share, seed)
    train, test = (_with(counts, values) for values in (kept, counts.data - kept))
    cells = np.flatnonzero(np.asarray(train.sum(1)).ravel() > 0)
    return Split(train[cells], test[cells], cells, (1 - train_share) / train_share)


def _with(counts: sp.csr_matrix, values: NDArray) -> sp.csr_matrix:
    out = sp.csr_matrix((values.astype(np.float32), counts.indices.copy(), counts.indptr.copy()), counts.shape)
    out.eliminate_zeros()
    return out


def null(train: sp.csr_matrix) -> Iterator[tuple[slice, NDArray]]:
    """Each cell's total × each gene's share of all counts: what is known without looking at single cells."""
    share = np.asarray(train.sum(0), np.float64).ravel()
    share /= share.sum()
    total = np.asarray(train.sum(1), np.float64).reshape(-1, 1)
    for rows in row_blocks(train.shape[0]):
        yield rows, total[rows] * share


def row_blocks(n: int) -> Iterator[slice]:
    """All rows in order, at most :data:`BLOCK` at a time."""
    for start in range(0, n, BLOCK):
        yield slice(start, min(start + BLOCK, n))


def deviance(test: sp.csr_matrix, blocks: Blocks, odds: float) -> NDArray[np.float64]:
    """Poisson deviance of each cell's held-out molecules ``(cells,)``: 2 Σ [x log(x/μ) − x + μ].

    Given a cell's rates, thinned counts are Poisson whatever the rates' own distribution, so this is the proper score of an
    expectation under any likelihood. A zero costs 2 μ; only stored counts need a logarithm.

    Parameters
    ----------
    test
        Held-out molecules, CSR.
    blocks
        Expected training counts, rows by rows.
    odds
        Held-out molecules expected for one training molecule.
    """
    out = np.empty(test.shape[0])
    for rows, expected in blocks:
        mu = np.maximum(np.multiply(expected, odds, dtype=np.float64), FLOOR)  # (rows, genes)
        x = test[rows]
        cell = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))
        value = x.data.astype(np.float64)
        stored = value * np.log(value / mu[cell, x.indices]) - value
        out[rows] = 2 * (np.bincount(cell, stored, x.shape[0]) + mu.sum(1))
    return out


def ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> tuple[float, float]:
    """Σ numerator / Σ denominator over cells, and its standard error by the delta method (cells are the sampling unit)."""
    n, total = numerator.size, denominator.sum()
    value = float(numerator.sum() / total)
    residual = numerator - value * denominator
    return value, float(np.sqrt(n / max(n - 1, 1) * (residual**2).sum()) / total)
