"""What frees a latent of batches: centring the input within them, and their discrepancy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from helpers import real_counts
from hypothesis import given
from hypothesis import strategies as st

import scae
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


def test_centring_takes_each_batch_by_its_own_mean():
    adata = real_counts()
    adata.obs["batch"] = np.where(np.arange(adata.n_obs) % 3, "a", "b")
    spec = scae.presets.find("vae").spec
    assert spec.transform.center_batches
    quick = scae.TrainPlan(epochs=1, min_steps=2, held_out=0.0)
    model = scae.tl.fit(adata, spec, batch_key="batch", plan=quick)
    from scae.tl.inputs import counts

    source = counts(adata, model.data)
    batch = source.take(np.arange(adata.n_obs))
    seen = model.seen(batch).dense()
    plain = spec.transform(batch).dense()
    for level in (0, 1):
        rows = batch.covariates[:, 0] == level
        torch.testing.assert_close(seen[rows], plain[rows] - plain[rows].mean(0), atol=1e-5, rtol=1e-5)
    first = model.coder.down.first
    torch.testing.assert_close(first(model.seen(batch), torch.empty(0)), seen @ first.weight + first.bias, atol=1e-4, rtol=1e-4)


def test_without_a_batch_key_neither_does_anything():
    adata = real_counts()
    preset = scae.presets.find("vae")
    bare = replace(
        preset.spec,
        transform=replace(preset.spec.transform, center_batches=False),
        bottleneck=replace(preset.spec.bottleneck, batch_mmd=0.0),
    )
    plan = scae.TrainPlan(epochs=1, min_steps=5)
    one, two = (scae.tl.fit(adata, spec, plan=plan) for spec in (preset.spec, bare))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
