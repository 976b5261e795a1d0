"""Permuted copies of a gene."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from scae.tl._decoys import permuted


def test_permuted_copies_keep_the_share_and_nothing_else(rng):
    kind = rng.integers(0, 2, 2000)
    depth = rng.lognormal(0, 0.5, (2000, 1)) * (1 + kind[:, None])
    x = rng.poisson(depth * np.where(kind, 1, 8)[:, None] * np.ones((1, 1)))
    counts = sp.csr_matrix(np.hstack([x, rng.poisson(depth * 30 * np.ones((1, 20)))]).astype(np.float32))
    copies = permuted(counts, 0, 4, rng)
    total = counts.toarray().sum(1)
    rate = copies / total[:, None]
    assert rate.mean() == pytest.approx((counts.toarray()[:, 0] / total).mean(), rel=0.05)
    assert np.abs(np.corrcoef(np.hstack([rate, kind[:, None], total[:, None]]).T) - np.eye(6))[:4].max() < 0.1
    assert np.corrcoef(counts.toarray()[:, 0] / total, kind)[0, 1] < -0.5


def test_copies_are_permuted_within_batches(rng):
    batch = np.repeat([0, 1, 2], [1000, 999, 1])
    counts = sp.csr_matrix(np.column_stack([rng.poisson(np.where(batch, 9, 1)), np.full(2000, 100)]).astype(np.float32))
    across, within = permuted(counts, 0, 1, rng).ravel(), permuted(counts, 0, 1, rng, batch).ravel()
    assert np.corrcoef(across, batch)[0, 1] == pytest.approx(0, abs=0.1)
    assert np.corrcoef(within, batch)[0, 1] > 0.6
    assert abs(np.corrcoef(within[:1000], counts[:1000, 0].toarray().ravel())[0, 1]) < 0.1
