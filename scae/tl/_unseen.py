"""Groups of cells as the other genes tell them, for genes that were used to make the groups."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ._baselines import logged, principal

_FOLDS, _MOST = 5, 30
_RIDGE = 1e-3  # of the mean variance, so that the covariance of few cells can be inverted


def unseen_groups(
    counts: sp.csr_matrix, group: NDArray[np.int64], seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """A fifth of the genes at a time, and groups ``(cells,)`` that are found without their counts.

    The groups are those of linear discriminant analysis of the principal components of the other genes, without a cell's own
    label. A gene that varies independently of all others is independent of these groups, even if the given groups were made
    from it. Two things are needed for that. The components are found anew for each fifth: in those of all genes, each gene is
    correlated with the scores to which it contributed, also if its own contribution is subtracted. And there are no more of them
    than :func:`n_components` finds: among components of noise, the given groups choose those that agree with the genes tested.

    Parameters
    ----------
    counts
        Cells × genes.
    group
        Codes of the given groups, ``(cells,)``, from 0 without gaps.
    seed
        Of the random fifths.
    """
    rng = np.random.default_rng(seed)
    fold = rng.permutation(counts.shape[1]) % _FOLDS
    rank = n_components(counts, rng)
    for k in range(_FOLDS):
        if (fold == k).any() and (fold != k).any():
            scores, _ = principal(counts[:, fold != k], seed=seed, max_rank=rank)
            yield np.flatnonzero(fold == k), discriminated(scores, group)


def n_components(counts: sp.csr_matrix, rng: np.random.Generator) -> int:
    """Number of principal components that are larger than the first one of permuted genes, at least 1 (Horn 1965).

    Genes are then permuted once more, without the variance that these components explain, so that large ones do not hide small
    ones (Dobriban and Owen 2019, doi:10.1111/rssb.12301).
    """
    scores, found = principal(counts, seed=int(rng.integers(2**31)), max_rank=_MOST)
    size, squares = (scores**2).sum(0), found.axes**2
    variance = squares @ size + found.residual * counts.shape[0]  # of each gene, times the number of cells
    if not variance.any():
        return 1
    permuted, rank = _permuted(logged(counts), rng), 0
    for _ in range(2):
        explained = np.divide(squares[:, :rank] @ size[:rank], variance, out=np.zeros_like(variance), where=variance > 0)
        rank = max(rank, int((size > _first(permuted, np.sqrt(np.maximum(1 - explained, 1e-6)))).sum()))
    return max(rank, 1)


def _permuted(x: sp.csr_matrix, rng: np.random.Generator) -> sp.csr_matrix:
    """Each column permuted on its own."""
    columns = x.tocsc()
    rows = [rng.permutation(x.shape[0])[:n] for n in np.diff(columns.indptr)]
    return sp.csc_matrix((columns.data, np.concatenate(rows), columns.indptr), x.shape).tocsr()


def _first(x: sp.csr_matrix, scale: NDArray[np.float64]) -> float:
    """Sum of squares along the first principal component of a matrix whose columns are scaled, to a hundredth."""
    from scipy.sparse.linalg import LinearOperator, eigsh

    n = x.shape[0]
    square = sp.diags(scale**2)

    def gram(u: NDArray) -> NDArray[np.float64]:
        centred = u.ravel() - u.mean()
        product = x @ (square @ (x.T @ centred))
        return product - product.mean()

    start = np.random.default_rng(0).uniform(-1, 1, n)
    return float(eigsh(LinearOperator((n, n), gram, dtype=np.float64), 1, v0=start, tol=1e-2, return_eigenvectors=False)[0])


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
