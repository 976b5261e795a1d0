"""Weighted sums over groups of cells are those of NumPy."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from helpers import counts_like

from scae import threads
from scae.kernels.group_sums import group_sums


def test_sums_are_numpys_whatever_the_number_of_threads(rng):
    x = counts_like(rng, 300, 150)
    size, place = rng.lognormal(0, 0.5, 300), rng.integers(0, 4, 300)
    rate, alpha = rng.gamma(1, 1, (150, 5)), rng.gamma(1, 1, 150)
    found = group_sums(sp.csc_matrix(x), size, place, rate, alpha)
    s = size[:, None]
    c = 1 / (1 + alpha * s * rate.T[place])
    terms = np.stack([c * s, c**2 * s, (c * s) ** 2, c**3 * s, c**3 * s**2, (c * s) ** 3, c * x, c**2 * s * x, (c * x) ** 2], 2)
    for p in range(4):
        np.testing.assert_allclose(found[:, p], terms[place == p].sum(0), rtol=1e-12)
    assert not found[:, 4].any()
    with threads.use(3):
        assert np.array_equal(group_sums(sp.csc_matrix(x), size, place, rate, alpha), found)
