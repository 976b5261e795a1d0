"""Transforms against one line of NumPy, and back to counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import counts_like, counts_of

from scae.transforms import Normalized, Presence

SCALES = {  # target_sum, log → what NumPy says of counts (cells, genes)
    (None, False): lambda x: x,
    (None, True): np.log1p,
    (100.0, False): lambda x: x / x.sum(1, keepdims=True) * 100,
    (1e4, True): lambda x: np.log1p(x / x.sum(1, keepdims=True) * 1e4),
}
each_scale = pytest.mark.parametrize(("target_sum", "log"), SCALES)


@each_scale
def test_normalized_is_one_line_of_numpy(target_sum, log, rng):
    x = counts_like(rng, 8, 11).astype(np.float64)
    seen = Normalized(target_sum=target_sum, log=log)(counts_of(x, dtype=np.float64))
    np.testing.assert_allclose(seen.dense(), SCALES[target_sum, log](x), rtol=1e-12)
    assert ((seen.dense() != 0).numpy() == (x != 0)).all(), "zero stays zero"


@each_scale
def test_the_inverse_leads_back_to_counts_at_the_library(target_sum, log, rng):
    x = counts_like(rng, 8, 11).astype(np.float64)
    transform, total = Normalized(target_sum=target_sum, log=log), torch.from_numpy(x.sum(1, keepdims=True))
    value = transform(counts_of(x, dtype=np.float64)).dense()
    np.testing.assert_allclose(transform.inverse(value, total), x, atol=1e-9)
    np.testing.assert_allclose(transform.inverse(value, 3 * total), 3 * x, atol=1e-9)
    below = transform.inverse(value - 1, total)
    assert (below >= 0).all(), "a reconstruction below zero is no count"


@each_scale
def test_a_cell_without_counts_stays_without(target_sum, log):
    x = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 2.0]])
    transform = Normalized(target_sum=target_sum, log=log)
    value = transform(counts_of(x)).dense()
    assert not value[0].any()
    assert value.isfinite().all()
    assert torch.equal(transform.inverse(value, torch.tensor([[0.0], [3.0]]))[0], torch.zeros(3))


def test_only_counts_themselves_need_not_be_counts():
    assert [Normalized(target_sum=t, log=log).of_counts for t, log in SCALES] == [False, True, True, True]
    assert Normalized(target_sum=None, log=False, unit_max=True).of_counts


def test_presence_is_one_where_a_count_is_above_zero(rng):
    x = counts_like(rng, 8, 11)
    np.testing.assert_array_equal(Presence()(counts_of(x)).dense(), x > 0)
    back = Presence().inverse(torch.from_numpy(x > 0).float(), torch.full((8, 1), 30.0))
    np.testing.assert_allclose(back.sum(1), 30.0, rtol=1e-6)


each_max = pytest.mark.parametrize(("target_sum", "log"), [(None, True), (1e4, True), (None, False)])


@each_max
def test_values_are_divided_by_the_largest_of_their_cell(target_sum, log, rng):
    x = counts_like(rng, 8, 11).astype(np.float64)
    want = SCALES.get((target_sum, log))(x)
    seen = Normalized(target_sum=target_sum, log=log, unit_max=True)(counts_of(x, dtype=np.float64)).dense()
    np.testing.assert_allclose(seen, want / want.max(1, keepdims=True), rtol=1e-12)
    no_base = np.log2(1 + x) / np.log2(1 + x).max(1, keepdims=True)
    if (target_sum, log) == (None, True):
        np.testing.assert_allclose(seen, no_base, rtol=1e-12)


@each_max
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_counts_come_back_from_shares_of_the_largest(target_sum, log, dtype, rng):
    """The largest value is not kept, but it follows from the total."""
    x = np.concatenate([counts_like(rng, 8, 11), np.zeros((1, 11))]).astype(dtype)
    transform = Normalized(target_sum=target_sum, log=log, unit_max=True)
    total = torch.from_numpy(x.sum(1, keepdims=True))
    back = transform.inverse(transform(counts_of(x, dtype=dtype)).dense(), total)
    np.testing.assert_allclose(back, x, rtol=1e-4 if dtype == np.float32 else 1e-9, atol=1e-4)
    more = transform.inverse(torch.rand(9, 11, dtype=back.dtype), 1000 * total)
    np.testing.assert_allclose(more.sum(1), 1000 * total[:, 0], rtol=1e-4)
