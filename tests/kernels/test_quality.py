"""The sums for quality control are those of NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from matrices import counts, unsorted

from scae.kernels.quality import quality
from scae.kernels.rows import Rows, Uncanonical


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("scale", [1, 0.3, -1])
def test_sums(dtype, scale):
    values = (counts("float64") * scale).astype(dtype)
    weights, ns = np.random.default_rng(1).integers(0, 3, (40, 2)).astype(float), np.array([1, 4, 40])
    result = quality(Rows.full(values), weights, ns)
    np.testing.assert_allclose(result.cells, np.stack([values.sum(1), (values != 0).sum(1)], axis=1), rtol=1e-5)
    np.testing.assert_allclose(result.genes, np.stack([values.sum(0), (values != 0).sum(0)], axis=1), rtol=1e-5)
    np.testing.assert_allclose(result.sets, values.astype(float) @ weights, rtol=1e-6)
    descending = -np.sort(-values.astype(float), axis=1)
    np.testing.assert_allclose(result.top, np.cumsum(descending, axis=1)[:, ns - 1], rtol=1e-5)


def test_unsorted_columns_raise():
    with pytest.raises(Uncanonical):
        quality(unsorted(counts()), np.zeros((40, 0)), np.zeros(0, np.int64))
