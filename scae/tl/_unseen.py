"""Groups of cells as the other genes tell them, for genes that were used to make the groups."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ._baselines import principal

_FOLDS, _RANK = 5, 30
_RIDGE = 1e-3  # of the mean variance, so that the covariance of few cells can be inverted


def unseen_groups(
    counts: sp.csr_matrix, group: NDArray[np.int64], seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """A fifth of the genes at a time, and groups ``(cells,)`` that are found without their counts.

    The groups are those of linear discriminant analysis of the principal components of the other genes, without a cell's own
    label. A gene that varies independently of all others is independent of these groups, even if the given groups were made
    from it. The components have to be found anew for each fifth: in components of all genes, each gene is correlated with the
    scores to which it contributed, also if its own contribution is subtracted.

    Parameters
    ----------
    counts
        Cells × genes.
    group
        Codes of the given groups, ``(cells,)``, from 0 without gaps.
    seed
        Of the random fifths.
    """
    fold = np.random.default_rng(seed).permutation(counts.shape[1]) % _FOLDS
    for k in range(_FOLDS):
        if (fold == k).any() and (fold != k).any():
            scores, _ = principal(counts[:, fold != k], seed=seed, max_rank=_RANK)
            yield np.flatnonzero(fold == k), discriminated(scores, group)


def discriminated(z: NDArray[np.float64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """The group that is most probable for each cell, by normal distributions of one covariance; a cell's own label is not used.

    Parameters
    ----------
    z
        ``(cells, dimensions)``.
    group
        Codes ``(cells,)`` from 0 without gaps.
    """
    n = np.bincount(group).astype(np.float64)
    members = sp.csr_matrix((np.ones(group.size), (group, np.arange(group.size))))
    centre = (members @ z) / n[:, None]
    around = z - centre[group]
    covariance = around.T @ around / max(len(z) - n.size, 1)
    covariance += max(_RIDGE * np.trace(covariance) / len(covariance), np.finfo(float).tiny) * np.eye(len(covariance))
    whiten = np.linalg.inv(np.linalg.cholesky(covariance)).T
    y, c = z @ whiten, centre @ whiten
    distance = (y**2).sum(1)[:, None] - 2 * y @ c.T + (c**2).sum(1)
    others = np.maximum(n - 1, 1)
    own = np.arange(len(z)), group
    distance[own] *= (n / others)[group] ** 2  # from the centre of the others
    uncertain = np.tile(1 + 1 / n, (len(z), 1))  # of the difference between a cell and a centre of n cells
    uncertain[own] = (1 + 1 / others)[group]
    score = distance / uncertain + z.shape[1] * np.log(uncertain) - 2 * np.log(n)
    score[own] = np.where(n[group] > 1, score[own], np.inf)  # a lone cell's group is not known from other cells
    return score.argmin(1)
