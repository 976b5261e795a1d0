"""Costs of Poisson molecules, of which either the number or only the presence is observed; a zero costs μ nats.

Both take log μ ``(cells, genes)``, the log of the expected number of molecules, and the counts of some cells.
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
presence_nll = SparseCost(_zero, presence_stored, _present)  # −log P(Poisson(μ) > 0) where x > 0; complementary log-log link
