"""Baselines: the gene mean, counts shrunk towards it, and PCA; each is tuned on training molecules only."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from ..evaluate import FLOOR, Blocks, Split, deviance, null, row_blocks, split
from ..kernels.pca import Components, components

RANKS = (1, 2, 3, 5, 8, 12, 20, 30, 50)
_TARGET = 1e4  # total to which each cell is scaled before the logarithm


def shrunk(outer: Split, train_share: float, seed: int) -> tuple[Blocks, int]:
    """Raw counts shrunk towards the gene mean, at the weight that best predicts a second split; and the number of parameters."""
    weight = _weight(split(outer.train, train_share, seed))
    return _mixture(outer.train, weight), outer.train.shape[1] + 1


def _weight(inner: Split) -> float:
    """The best weight of a cell's own counts. Expected totals do not depend on it, so only stored held-out counts matter."""
    own, mean, x = [], [], inner.test
    for rows, expected in null(inner.train):
        part = x[rows]
        cell = np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))
        mean.append(expected[cell, part.indices])
        own.append(np.asarray(inner.train[rows][cell, part.indices]).ravel())
    a, b, n = np.concatenate(own), np.concatenate(mean), x.data.astype(np.float64)
    floor = FLOOR / inner.odds
    if not n.size:
        return 0.0

    def loss(weight: float) -> float:
        return -float(n @ np.log(np.maximum(weight * a + (1 - weight) * b, floor)))

    best = minimize_scalar(loss, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-5}).x
    return float(min((0.0, best), key=loss))  # the bounded search never evaluates 0 itself


def _mixture(train: sp.csr_matrix, weight: float) -> Iterator[tuple[slice, NDArray]]:
    for rows, expected in null(train):
        yield rows, weight * train[rows].toarray() + (1 - weight) * expected


def pca(outer: Split, train_share: float, seed: int) -> tuple[Blocks, int]:
    """PCA of log1p(CP10k), mapped back to counts, at the rank that best predicts a second split; and the number of parameters."""
    inner = split(outer.train, train_share, seed)
    at_rank = _pca(inner.train, seed)
    ranks = [rank for rank in RANKS if rank < min(inner.train.shape)] or [0]
    losses = {rank: deviance(inner.test, at_rank(rank), inner.odds).sum() for rank in ranks}
    best = min(losses, key=losses.__getitem__)
    return _pca(outer.train, seed, best)(best), (best + 2) * outer.train.shape[1]


def logged(counts: sp.csr_matrix) -> sp.csr_matrix:
    """log1p(CP10k) of sparse counts."""
    total = np.asarray(counts.sum(1), np.float64).ravel()
    out = counts.astype(np.float64)
    out.data = np.log1p(out.data / np.repeat(total, np.diff(out.indptr)) * _TARGET)
    return out


def principal(counts: sp.csr_matrix, *, seed: int, max_rank: int) -> tuple[NDArray, Components]:
    """PCA of log1p(CP10k) of sparse counts: scores ``(cells, rank)``, and axes and gene means."""
    x = logged(counts)
    rank = max(1, min(max_rank, *(n - 1 for n in counts.shape)))
    found = components(x, np.ones((counts.shape[0], 1)), rank, seed=seed)
    return x @ found.axes - found.effects @ found.axes, found


def _pca(train: sp.csr_matrix, seed: int, max_rank: int = max(RANKS)) -> Callable[[int], Blocks]:
    """A function from the rank to expected counts.

    PCA predicts mean logarithms, and exp of a mean logarithm is below the mean: each gene is rescaled to its observed total.
    """
    scores, found = principal(train, seed=seed, max_rank=max_rank)
    total = np.asarray(train.sum(1), np.float64).reshape(-1, 1)
    gene_total = np.asarray(train.sum(0), np.float64).ravel()

    def rates(rank: int) -> Iterator[tuple[slice, NDArray]]:
        for rows in row_blocks(train.shape[0]):
            rate = np.expm1(np.maximum(scores[rows, :rank] @ found.axes[:, :rank].T + found.effects, 0))
            yield rows, rate / np.maximum(rate.sum(1, keepdims=True), FLOOR) * total[rows]

    def at_rank(rank: int) -> Blocks:
        predicted = sum(block.sum(0) for _, block in rates(rank))
        scale = gene_total / np.maximum(predicted, FLOOR)
        for rows, block in rates(rank):
            block *= scale
            yield rows, block / np.maximum(block.sum(1, keepdims=True), FLOOR) * total[rows]

    return at_rank


BASELINES: dict[str, Callable[[Split, float, int], tuple[Blocks, int]]] = {
    "gene mean": lambda outer, _share, _seed: (null(outer.train), outer.train.shape[1]),
    "shrunk counts": shrunk,
    "PCA": pca,
}
