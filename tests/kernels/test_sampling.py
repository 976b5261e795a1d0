"""Downsampled rows have the target total, and thinned counts are binomial and do not depend on the blocks."""

from __future__ import annotations

import numpy as np
import pytest
from matrices import counts, rows_of

from scae.kernels import sampling


@pytest.mark.parametrize("replace", [True, False])
def test_downsampled_rows_have_the_target_total(replace):
    m = rows_of(counts("float64"))
    before, totals = m.data.copy(), counts().sum(1)
    chosen = totals > 20
    targets = np.full(m.n_rows, 20)
    sampling.downsample(m.indptr, m.data, targets, chosen, seed=0, replace=replace)
    after = np.array([row.sum() for row in np.split(m.data, m.indptr[1:-1])])
    np.testing.assert_array_equal(after, np.where(chosen, 20, totals))
    assert replace or (m.data <= before).all()


def test_thinned_counts_do_not_depend_on_the_blocks():
    m = rows_of(counts("float64"))
    whole = sampling.thin(m.indptr, m.indices, m.data, 0.3, 7)
    cut = m.indptr[100]
    first = sampling.thin(m.indptr[:101], m.indices[:cut], m.data[:cut], 0.3, 7)
    second = sampling.thin(m.indptr[100:] - cut, m.indices[cut:], m.data[cut:], 0.3, 7, first=100)
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)


@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.9])
def test_thinned_counts_have_the_mean_and_variance_of_a_binomial(fraction):
    n, rows, columns = 1000.0, 200, 100
    indptr, indices = np.arange(rows + 1) * columns, np.tile(np.arange(columns), rows)
    thinned = sampling.thin(indptr, indices, np.full(rows * columns, n), fraction, 0)
    variance = n * fraction * (1 - fraction)
    assert abs(thinned.mean() - n * fraction) < 4 * np.sqrt(variance / thinned.size)
    assert abs(thinned.var() / variance - 1) < 4 * np.sqrt(2 / thinned.size)
