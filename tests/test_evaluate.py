"""The split of molecules, the deviance and its standard error follow their formulas."""

from __future__ import annotations

import numpy as np
import pytest
from protocol import means, poisson_deviance

from scae import evaluate


def test_a_split_is_a_binomial_one(fold):
    made, x = fold
    assert 5 not in made.cells
    assert (made.train + made.test != x[made.cells]).nnz == 0
    assert made.odds == pytest.approx(0.25)
    assert made.train.sum() / x.sum() == pytest.approx(0.8, abs=0.01)
    assert all(part.has_sorted_indices and (part.data > 0).all() for part in (made.train, made.test))


def test_deviance_is_its_formula_and_blocks_are_bounded(fold, rng):
    made, _ = fold
    mu = rng.gamma(1, 1, made.train.shape)
    mu[:, 3] = 0  # impossible genes meet the floor
    blocks = [(rows, mu[rows]) for rows in evaluate.row_blocks(len(mu))]
    assert len(blocks) == 2
    assert max(len(block) for _, block in blocks) <= evaluate.BLOCK
    expected = poisson_deviance(made.test.toarray(), mu * made.odds).sum(1)
    np.testing.assert_allclose(evaluate.deviance(made.test, blocks, made.odds), expected, rtol=1e-12)


def test_null_is_total_times_share(fold):
    made, _ = fold
    dense = made.train.toarray().astype(float)
    np.testing.assert_allclose(means(evaluate.null(made.train)), dense.sum(1, keepdims=True) * dense.sum(0) / dense.sum())


def test_standard_error_over_cells_is_that_of_the_bootstrap(rng):
    null = rng.gamma(5, 20, 400)
    left = null * rng.normal(0.7, 0.1, 400)
    value, se = evaluate.ratio(null - left, null)
    assert value == pytest.approx(1 - left.sum() / null.sum())
    draws = rng.integers(0, 400, (4000, 400))
    assert se == pytest.approx((1 - left[draws].sum(1) / null[draws].sum(1)).std(), rel=0.1)
