"""What verbs that go on from the latent share: checked options, neighbours, and an order of cells that is none of the file's."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError


def check_count(name: str, value: Any, low: int = 1) -> None:
    """Refuse anything but a whole number of at least ``low``.

    Raises
    ------
    ConfigError
        If it is something else.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < low:
        raise ConfigError(f"{name} is {value!r}; allowed: a whole number, at least {low}.")


def nearest(z: NDArray[np.float32], k: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distances and rows ``(cells, k)`` of the nearest other cells; fewer columns where there are fewer cells."""
    from sklearn.neighbors import NearestNeighbors

    k = min(k, len(z) - 1)
    if k == 0:
        return np.empty((1, 0)), np.empty((1, 0), np.int64)
    return NearestNeighbors(n_neighbors=k).fit(z).kneighbors()


def canonical_order(z: NDArray[np.float32]) -> NDArray[np.int64]:
    """Rows in an order that depends on the latent alone, so that algorithms that go by order do not see that of the file."""
    return np.lexsort(z.T[::-1])
