"""Groups of cells as the other genes tell them, for genes that were used to make the groups."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ._baselines import principal
from ._latents import nearest

_FOLDS, _RANK, _NEIGHBORS = 5, 30, 15


def unseen_groups(
    counts: sp.csr_matrix, group: NDArray[np.int64], seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Some genes at a time, and groups ``(cells,)`` that are found without their counts.

    A cell gets the commonest group of its nearest neighbours in the principal components of the other genes. A gene that varies
    independently of all others is independent of these groups, even if the given groups were made from it.

    Parameters
    ----------
    counts
        Cells × genes.
    group
        Codes of the given groups, ``(cells,)``.
    seed
        Of the random folds of genes.
    """
    fold = np.random.default_rng(seed).permutation(counts.shape[1]) % min(_FOLDS, counts.shape[1])
    for k in range(fold.max() + 1):
        scores, _ = principal(counts[:, fold != k], seed=seed, max_rank=_RANK)
        yield np.flatnonzero(fold == k), _commonest(group[nearest(scores, _NEIGHBORS)[1]])


def _commonest(votes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The commonest code of each row; of equally common ones, that of the nearest cell."""
    counts = (votes[:, :, None] == votes[:, None, :]).sum(2)
    return votes[np.arange(len(votes)), counts.argmax(1)]
