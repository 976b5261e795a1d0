"""The score of each cell."""

from __future__ import annotations

import numpy as np

import scae


def test_scores_are_nats_of_each_cell(pbmc, model):
    nats = scae.tl.score(pbmc, model)
    assert np.array_equal(pbmc.obs["scae_score"], nats)
    assert np.array_equal(scae.tl.score(pbmc, model), nats)
    shuffled = pbmc.copy()
    shuffled.X = pbmc.X[:, np.random.default_rng(0).permutation(pbmc.n_vars)]
    assert scae.tl.score(shuffled, model).mean() > nats.mean()
