"""Molecular cross-validation, the one protocol for held-out molecules: how well a part of the counts predicts the rest.

Score = 1 − D(X_test, μ) / D(X_test, null). D is the Poisson deviance, μ what a model fitted to X_train expects of X_test, and
null is each cell's total × each gene's share of all counts (Batson 2019, doi:10.1101/786269).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from .kernels import sampling

FLOOR = 1e-9  # expected held-out molecules of a gene that a prediction calls impossible
BLOCK = 512  # cells whose expected counts are dense at one time
Blocks = Iterable[tuple[slice, NDArray]]  # rows, and their expected training counts (rows, genes)


@dataclass(frozen=True)
class Split:
    """Counts split molecule by molecule; cells without a training molecule are in neither part.

    Attributes
    ----------
    train, test
        ``(cells, genes)`` CSR float32 without stored zeros.
    cells
        ``(cells,)`` int64, their rows in the whole matrix.
    odds
        Expected held-out molecules per training molecule.
    """

    train: sp.csr_matrix
    test: sp.csr_matrix
    cells: NDArray[np.int64]
    odds: float


def split(counts: sp.csr_matrix, train_share: float, seed: int) -> Split:
    """Train ~ Binomial(counts, ``train_share``); test is the rest.

    Examples
    --------
    >>> counts = sp.csr_matrix(np.full((4, 3), 5))
    >>> fold = split(counts, 0.9, seed=0)
    >>> int((fold.train + fold.test).sum())
    60
    """
    kept = sampling.thin(counts.indptr.astype(np.int64), counts.indices, counts.data.astype(np.float64), train_share, seed)
    train, test = (_with(counts, values) for values in (kept, counts.data - kept))
    cells = np.flatnonzero(np.asarray(train.sum(1)).ravel() > 0)
    return Split(train[cells], test[cells], cells, (1 - train_share) / train_share)


def _with(counts: sp.csr_matrix, values: NDArray) -> sp.csr_matrix:
    out = sp.csr_matrix((values.astype(np.float32), counts.indices.copy(), counts.indptr.copy()), counts.shape)
    out.eliminate_zeros()
    return out


def null(train: sp.csr_matrix) -> Iterator[tuple[slice, NDArray]]:
    """Each cell's total × each gene's share of all counts: the prediction that knows no differences between cells."""
    share = np.asarray(train.sum(0), np.float64).ravel()
    share /= share.sum()
    total = np.asarray(train.sum(1), np.float64).reshape(-1, 1)
    for rows in row_blocks(train.shape[0]):
        yield rows, total[rows] * share


def matrix_blocks(expected: Any) -> Iterator[tuple[slice, NDArray]]:
    """A matrix of expected counts as blocks of its rows."""
    for rows in row_blocks(expected.shape[0]):
        yield rows, np.asarray(expected[rows])


def row_blocks(n: int) -> Iterator[slice]:
    """All rows in order, at most :data:`BLOCK` at a time."""
    for start in range(0, n, BLOCK):
        yield slice(start, min(start + BLOCK, n))


def deviance(test: sp.csr_matrix, blocks: Blocks, odds: float) -> NDArray[np.float64]:
    """Poisson deviance of each cell's held-out molecules ``(cells,)``: 2 Σ [x log(x/μ) − x + μ].

    Given a cell's rates, thinned counts are Poisson whatever the distribution of the rates, so this is the proper score of an
    expectation under any likelihood. A zero costs 2 μ; only stored counts need a logarithm.

    Parameters
    ----------
    test
        Held-out molecules, CSR.
    blocks
        Expected training counts, block by block.
    odds
        Expected held-out molecules per training molecule.
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


def explained(left: NDArray[np.float64], of_null: NDArray[np.float64]) -> tuple[float, float]:
    """The score and its standard error over cells, from the deviance ``(cells,)`` left by a prediction and by :func:`null`."""
    return ratio(of_null - left, of_null)


def ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> tuple[float, float]:
    """Σ numerator / Σ denominator over cells, and its standard error by the delta method (cells are the sampling unit)."""
    n, total = numerator.size, denominator.sum()
    value = float(numerator.sum() / total)
    residual = numerator - value * denominator
    return value, float(np.sqrt(n / max(n - 1, 1) * (residual**2).sum()) / total)
