"""Corruptions against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from scae.corruptions import binomial
from scae.errors import ConfigError


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("count", [1, 2, 7, 60, 200, 201, 5000])
def test_binomial_draws_follow_their_law(count, share):
    n = 20_000
    rng = torch.Generator().manual_seed(0)
    drawn = binomial(torch.full((n,), float(count)), torch.full((n,), share), rng).numpy()
    law = stats.binom(count, share)
    assert drawn.min() >= 0
    assert drawn.max() <= count
    assert abs(drawn.mean() - law.mean()) < 5 * law.std() / np.sqrt(n)
    values, seen = np.unique(drawn, return_counts=True)
    expected = n * law.pmf(values)
    common = expected > 20
    assert ((seen - expected)[common] ** 2 / expected[common]).sum() < stats.chi2.isf(1e-6, common.sum())


@given(st.lists(st.integers(0, 300), min_size=1), st.floats(0, 1))
def test_thinning_never_invents_molecules(counts, share):
    count = torch.tensor(counts, dtype=torch.float32)
    kept = binomial(count, torch.full_like(count, share), torch.Generator().manual_seed(1))
    assert ((kept >= 0) & (kept <= count) & (kept == kept.round())).all()
    if share in (0.0, 1.0):
        assert torch.equal(kept, count * share)


def test_shares_that_cross_are_refused():
    from scae.corruptions import Thinning

    with pytest.raises(ConfigError, match="low ≤ high"):
        Thinning(low=0.9, high=0.1)
