"""The discrepancy between the latents of batches."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from scae.bottlenecks import discrepancy


def points(seed: int, n: int = 60) -> torch.Tensor:
    return torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def weights(near: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Of each point, what other groups have of the density there, one point at a time."""
    own, others = [], []
    for i, g in enumerate(groups):
        mean = {int(h): near[i][(groups == h) & (torch.arange(len(groups)) != i)].mean() for h in groups.unique()}
        own.append(mean.pop(int(g)))
        others.append(sum(mean.values()) / len(mean))
    own, others = torch.stack(own), torch.stack(others)
    return (others + 1e-20) / (own + others + 1e-6)


@given(st.integers(0, 99), st.integers(2, 4))
def test_discrepancy_is_the_unbiased_mean_of_three_kernels_between_weighted_points(seed, n_groups):
    """Of two groups: E k(x, x') + E k(y, y') − 2 E k(x, y) over pairs of different points; else the mean over pairs of groups."""
    z, groups = points(seed, 30), torch.arange(30) % n_groups
    d2 = (z[:, None] - z[None]).square().sum(2)
    k = [torch.exp(-d2 / (s * d2.mean())) for s in (0.125, 0.25, 0.5, 1.0, 2.0)]
    w, k = weights(k[0], groups), sum(k) / 5

    def mean(a: int, b: int) -> torch.Tensor:
        pairs = [(i, j) for i in range(30) for j in range(30) if groups[i] == a and groups[j] == b and i != j]
        i, j = torch.tensor(pairs).T
        return (w[i] * w[j] * k[i, j]).sum() / (w[i] * w[j]).sum()

    each = [mean(a, a) + mean(b, b) - 2 * mean(a, b) for a in range(n_groups) for b in range(a)]
    torch.testing.assert_close(discrepancy(z, groups), sum(each) / len(each))


@given(st.integers(0, 99), st.integers(1, 4))
def test_discrepancy_knows_no_order_and_no_names(seed, n_groups):
    z, groups = points(seed), torch.arange(60) % n_groups
    order = torch.randperm(60, generator=torch.Generator().manual_seed(seed))
    one, two = discrepancy(z, groups), discrepancy(z[order], 7 * groups[order])
    torch.testing.assert_close(one, two)
    assert discrepancy(z + 5 * groups[:, None], groups) >= one - 1e-12
    if n_groups == 1:
        assert one == 0


def test_crowding_gains_nothing():
    """Pairs of a point with itself would make the discrepancy of groups that are alike fall as all points crowd together."""
    groups, size = torch.arange(128) % 8, torch.ones((), dtype=torch.float64, requires_grad=True)
    ours, paired = [], []
    for seed in range(20):
        z = points(seed, 128)
        ours.append(torch.autograd.grad(discrepancy(size * z, groups), size)[0])
        d2 = (size * z[:, None] - size * z[None]).square().sum(2)
        k = sum(torch.exp(-d2 / (s * d2.detach().mean())) for s in (0.125, 0.25, 0.5, 1.0, 2.0)) / 5
        mean = torch.stack([torch.stack([k[groups == a][:, groups == b].mean() for a in range(8)]) for b in range(8)])
        paired.append(torch.autograd.grad(2 * (8 * mean.trace() - mean.sum()) / 56, size)[0])
    assert torch.stack(ours).mean().abs() < 0.25 * torch.stack(paired).mean()


def test_a_kind_of_cell_that_one_batch_alone_has_is_left_where_it_is():
    """Two kinds in both batches, shifted between them, and a third in the first batch only: those shared are drawn together."""
    kind = torch.arange(120) % 3
    groups = torch.where(kind == 2, 0, torch.arange(120) // 60)
    z = 0.3 * points(0, 120) + 6 * torch.nn.functional.one_hot(kind, 3) + 0.5 * groups[:, None]
    z.requires_grad_()
    (pull,) = torch.autograd.grad(discrepancy(z, groups), z)
    size = pull.norm(dim=1)
    assert size[kind == 2].mean() < 0.01 * size[kind < 2].mean()
    assert (pull[groups == 1].sum(0) > 0).all()  # a step against it takes the shift back


def test_a_lone_cell_of_a_batch_takes_no_part():
    z, groups = points(1), torch.arange(60) % 2
    with_lone = torch.cat([groups, torch.tensor([7])])
    assert torch.isfinite(discrepancy(points(1, 61), with_lone))
    assert discrepancy(z[:3], torch.tensor([0, 0, 1])) == 0
