"""Counts of many cells: some rows at a time, in the order asked for, and the statistics that a model starts from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import counts_like, matrix_of

from scae.errors import MatrixError
from scae.transforms import Normalized


def test_rows_come_in_the_order_asked_for(rng):
    x = counts_like(rng, 20, 7)
    source = replace(matrix_of(x, levels=3), label=np.arange(20), missing=np.arange(7) == 4)
    rows = np.array([3, 17, 3, 0])
    counts, cells = source.take(rows)
    np.testing.assert_array_equal(counts.dense(), x[rows])
    np.testing.assert_array_equal(cells.library[:, 0], x[rows].sum(1))
    np.testing.assert_array_equal(cells.batch, rows % 3)
    np.testing.assert_array_equal(cells.label, rows)
    np.testing.assert_array_equal(cells.continuous, source.continuous[rows])
    np.testing.assert_array_equal(counts.missing, source.missing)


@pytest.mark.parametrize("size", [1, 7, 20, 100])
@pytest.mark.parametrize("rows", [None, np.array([5, 2, 2, 19, 0, 1, 7, 7])], ids=["all", "some"])
def test_blocks_are_all_rows_once(size, rows, rng):
    x = counts_like(rng, 20, 7)
    blocks = list(matrix_of(x).blocks(size, rows))
    np.testing.assert_array_equal(torch.cat([counts.dense() for _, counts, _ in blocks]), x if rows is None else x[rows])
    n = 20 if rows is None else len(rows)
    assert [i for where, _, _ in blocks for i in range(n)[where]] == list(range(n))
    assert all(len(counts) == len(cells) == where.stop - where.start <= size for where, counts, cells in blocks)


@pytest.mark.parametrize("groups", [1, 3])
def test_statistics_are_numpys_on_the_dense_matrix(groups, rng):
    x = counts_like(rng, 40, 7).astype(np.float64)
    source, rows = matrix_of(x, dtype=np.float64, levels=3), np.arange(0, 40, 2)
    seen, batch = np.log1p(x / x.sum(1, keepdims=True) * 1e4)[rows], source.batch[rows]
    stats = source.statistics(rows, Normalized(), groups)
    smooth = x[rows].sum(0) + 0.5
    np.testing.assert_allclose(stats.share, smooth / smooth.sum())
    np.testing.assert_allclose(stats.mean, smooth / 20)
    np.testing.assert_allclose(stats.detected, ((x[rows] > 0).sum(0) + 0.5) / 21)
    means = np.stack([seen[batch == b].mean(0) for b in range(groups)]) if groups > 1 else seen.mean(0, keepdims=True)
    np.testing.assert_allclose(stats.input_mean, means)
    within = seen - (means[batch] if groups > 1 else means)
    np.testing.assert_allclose(stats.input_sd, np.sqrt((within**2).mean(0)), rtol=1e-6)


def test_arrays_that_contradict_each_other_are_refused(rng):
    source = matrix_of(counts_like(rng, 4, 5))
    with pytest.raises(MatrixError):
        replace(source, n_genes=2)
