"""Costs of molecules that are Poisson, whether they are counted or only seen to be there; a zero costs μ nats.

Both take log μ ``(cells, genes)``, the logarithm of the expected molecules, and a batch of counts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..kernels.losses import poisson_stored, presence_stored
from .sparse_cost import Pair, SparseCost


def _zero(log_mu: Tensor) -> Pair:
    mu = log_mu.exp()
    return mu, mu.clone()


def _counted(log_mu: Tensor, x: Tensor) -> Pair:
    mu = log_mu.exp()
    return mu - x * log_mu + torch.lgamma(x + 1), mu - x


def _present(log_mu: Tensor, x: Tensor) -> Pair:  # noqa: ARG001
    mu = log_mu.exp()
    return -torch.log(-torch.expm1(-mu)), -mu / torch.expm1(mu)


poisson_nll = SparseCost(_zero, poisson_stored, _counted)  # −log Poisson(x; μ)
presence_nll = SparseCost(_zero, presence_stored, _present)  # −log P(Poisson(μ) > 0) where x > 0: the complementary log-log link
