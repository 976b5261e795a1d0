"""The discrepancy between the latents of batches."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from scae.bottlenecks import discrepancy


def points(seed: int, n: int = 60) -> torch.Tensor:
    return torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_discrepancy_is_the_mean_of_three_kernels():
    """Two groups: E k(x, x') + E k(y, y') − 2 E k(x, y), each over all pairs."""
    z = points(0)
    groups = torch.arange(60) % 2
    d2 = (z[:, None] - z[None]).square().sum(2)
    k = sum(torch.exp(-d2 / (s * d2.mean())) for s in (0.125, 0.25, 0.5, 1.0, 2.0)) / 5
    x, y = groups == 0, groups == 1
    want = k[x][:, x].mean() + k[y][:, y].mean() - 2 * k[x][:, y].mean()
    torch.testing.assert_close(discrepancy(z, groups), want)


@given(st.integers(0, 99), st.integers(1, 4))
def test_discrepancy_knows_no_order_and_no_names(seed, n_groups):
    z, groups = points(seed), torch.arange(60) % n_groups
    order = torch.randperm(60, generator=torch.Generator().manual_seed(seed))
    one, two = discrepancy(z, groups), discrepancy(z[order], 7 * groups[order])
    torch.testing.assert_close(one, two)
    assert one >= -1e-12
    assert discrepancy(z + 5 * groups[:, None], groups) >= one - 1e-12
    if n_groups == 1:
        assert one == 0
