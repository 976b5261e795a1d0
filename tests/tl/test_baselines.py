"""The baselines follow their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from protocol import means, poisson_deviance

from scae import evaluate
from scae.tl import _baselines


def test_the_weight_of_a_cells_own_counts_is_the_best_one(rng):
    rates = rng.gamma(1.5, 3, (300, 30))
    outer = evaluate.split(sp.csr_matrix(rng.poisson(rates).astype(np.float32)), 0.9, 0)
    inner = evaluate.split(outer.train, 0.9, 1)
    weight = _baselines._weight(inner)
    own, mean, x = inner.train.toarray(), means(evaluate.null(inner.train)), inner.test.toarray()
    tried = np.linspace(0, 1, 401)
    losses = [poisson_deviance(x, (w * own + (1 - w) * mean) * inner.odds).sum() for w in tried]
    assert weight == pytest.approx(tried[np.argmin(losses)], abs=0.004)
    assert 0.1 < weight < 0.9
    shrunk = means(_baselines.shrunk(outer, 0.9, 7)[0])
    np.testing.assert_allclose(shrunk.sum(1), np.asarray(outer.train.sum(1)).ravel(), rtol=1e-5)


def test_pca_is_the_dense_one_with_each_genes_total_given_back(fold):
    made, _ = fold
    x = made.train.toarray().astype(float)
    total = x.sum(1, keepdims=True)
    logged = np.log1p(x / total * 1e4)
    u, s, v = np.linalg.svd(logged - logged.mean(0), full_matrices=False)
    rate = np.expm1(np.maximum((u[:, :3] * s[:3]) @ v[:3] + logged.mean(0), 0))
    rate *= total / rate.sum(1, keepdims=True)
    rate *= x.sum(0) / rate.sum(0)
    rate *= total / rate.sum(1, keepdims=True)
    np.testing.assert_allclose(means(_baselines._pca(made.train, 0)(3)), rate, rtol=1e-6, atol=1e-9)
