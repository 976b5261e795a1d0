"""Support: a p-value for cells of the same kind, and the smallest one for what is far from all."""

from __future__ import annotations

import numpy as np
from scipy.stats import kstest

from scae.tl._support import support


def test_further_cells_of_the_same_kind_have_uniform_support(rng):
    found = support(rng.normal(size=(1000, 3)), rng.normal(size=(2000, 3)))
    assert found.dtype == np.float32
    assert kstest(found, "uniform").statistic < 0.06


def test_what_is_far_from_all_has_the_smallest_support(rng):
    reference = rng.normal(size=(99, 3))
    np.testing.assert_allclose(support(np.full((2, 3), 50.0), reference), 0.01)


def test_with_too_few_cells_nothing_is_known(rng):
    assert np.isnan(support(rng.normal(size=(4, 2)), rng.normal(size=(1, 2)))).all()
    assert support(np.empty((0, 2)), rng.normal(size=(5, 2))).shape == (0,)
