"""Variances that sum to one: the KL in closed form, and draws with less noise than the posterior has."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from toys import latent_of, normal

from scae.bottlenecks import SoftmaxVariance

STATS = normal(6, 8)


def test_variances_sum_to_one_and_the_kl_is_torchs():
    found = latent_of(SoftmaxVariance(dim=4, beta=0.5), torch.nn.Module(), STATS)
    mean, logits = STATS.chunk(2, 1)
    torch.testing.assert_close(found.sd.square(), logits.softmax(1))
    want = kl_divergence(Normal(mean, logits.softmax(1).sqrt()), Normal(torch.zeros_like(mean), torch.ones_like(mean)))
    torch.testing.assert_close(found.kl, want.sum(1))
    assert torch.equal(found.z, mean)
    assert torch.equal(found.point, mean)


@pytest.mark.parametrize("noise", [0.0, 0.25, 1.0])
def test_draws_have_the_share_of_the_standard_deviation_that_is_asked_for(noise):
    rng = torch.Generator().manual_seed(0)
    found = latent_of(SoftmaxVariance(dim=4, noise=noise), torch.nn.Module(), STATS.repeat(4000, 1), rng)
    sd = (found.z - found.point).view(4000, 6, 4).std(0)
    torch.testing.assert_close(sd, noise * found.sd[:6], rtol=0.06, atol=0.0)


def test_variances_of_certain_dimensions_stay_finite():
    extreme = torch.cat([torch.zeros(1, 2), torch.tensor([[500.0, -500.0]])], 1).requires_grad_()
    found = latent_of(SoftmaxVariance(dim=2), torch.nn.Module(), extreme, torch.Generator())
    found.kl.sum().backward()
    assert found.kl.isfinite().all()
    assert extreme.grad.isfinite().all()
