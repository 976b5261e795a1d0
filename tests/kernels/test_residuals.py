"""Sums of Pearson residuals follow their definition."""

from __future__ import annotations

import numpy as np
import pytest
from matrices import counts, rows_of

from scae.kernels.residuals import residual_sums


@pytest.mark.parametrize("theta", [1.0, 100.0, np.inf])
@pytest.mark.parametrize("clip", [0.5, 17.0])
def test_sums_follow_the_definition(theta, clip):
    values = counts("float64")
    depths, shares = values.sum(1), values.sum(0) / values.sum()
    mu = depths[:, None] * shares
    with np.errstate(invalid="ignore"):
        r = np.nan_to_num(np.clip((values - mu) / np.sqrt(mu + mu**2 / theta), -clip, clip))
    result = residual_sums(rows_of(values), depths, shares, theta, clip)
    np.testing.assert_allclose(result, np.stack([r.sum(0), (r**2).sum(0)], axis=1), rtol=1e-9, atol=1e-9)
