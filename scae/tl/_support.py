"""How near latents are to those of known cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._latents import nearest

N_NEIGHBORS = 10


def support(z: NDArray[np.float32], reference: NDArray[np.float32]) -> NDArray[np.float32]:
    """The share of reference cells that are at least as far from their neighbours as a latent is from its own.

    The distance is that to the tenth nearest reference cell. This is the p-value of conformal outlier detection: uniform from 0
    to 1 for further cells of the same kind, and ``1 / (n + 1)`` for a latent that is farther from the ``n`` reference cells than
    any of them is from the others.

    Parameters
    ----------
    z
        ``(n_latents, dim)``.
    reference
        ``(cells, dim)``, latents of known cells.

    Returns
    -------
    ndarray
        ``(n_latents,)`` float32; NaN if there are fewer than two reference cells.

    References
    ----------
    Bates et al. (2023), Ann. Statist. 51:149, doi:10.1214/22-AOS2244.
    """
    from sklearn.neighbors import NearestNeighbors

    if len(reference) < 2 or not len(z):
        return np.full(len(z), np.nan, np.float32)
    own = np.sort(nearest(reference, N_NEIGHBORS)[0][:, -1])
    k = min(N_NEIGHBORS, len(reference) - 1)
    found = NearestNeighbors(n_neighbors=k).fit(reference).kneighbors(z)[0][:, -1]
    farther = own.size - np.searchsorted(own, found, side="left")
    return ((1 + farther) / (1 + own.size)).astype(np.float32)
