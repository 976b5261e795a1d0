"""Poisson cost of a batch of counts, or of their presence: a zero costs μ nats, stored entries are overwritten."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .. import threads
from ..batch import CountBatch
from ..kernels.losses import poisson_stored, presence_stored


def poisson_nll(log_mu: Tensor, batch: CountBatch) -> Tensor:
    """−log Poisson(x; μ), summed over genes.

    Parameters
    ----------
    log_mu
        ``(cells, genes)``, log of the expected counts.
    batch
        The observed counts.

    Returns
    -------
    Tensor
        ``(cells,)``, nats.
    """
    return _ZerosCostTheMean.apply(log_mu, batch, poisson_stored, _of_count)


def presence_nll(log_mu: Tensor, batch: CountBatch) -> Tensor:
    """−log P(Poisson(μ) > 0) where a count is stored, μ where none is, summed over genes: the complementary log-log link.

    Parameters
    ----------
    log_mu
        ``(cells, genes)``, log of the expected molecules.
    batch
        The observed counts; any count above zero is a presence.

    Returns
    -------
    Tensor
        ``(cells,)``, nats.
    """
    return _ZerosCostTheMean.apply(log_mu, batch, presence_stored, _of_presence)


def _of_count(eta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    return eta.exp() - x * eta + torch.lgamma(x + 1), eta.exp() - x


def _of_presence(eta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG001
    mu = eta.exp()
    return -torch.log(-torch.expm1(-mu)), -mu / torch.expm1(mu)


class _ZerosCostTheMean(torch.autograd.Function):
    """``stored`` is the kernel for counts above zero; ``at`` gives their costs and slopes in float64 off the CPU."""

    @staticmethod
    def forward(
        ctx: Any, log_mu: Tensor, batch: CountBatch, stored: Callable[..., None],
        at: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    ) -> Tensor:  # fmt: skip
        cost = log_mu.exp()
        slope = cost.clone()
        if cost.device.type == "cpu":
            tensors = (batch.indptr, batch.gene, batch.value, log_mu.contiguous(), cost, slope)
            threads.run(stored, len(batch), *(t.detach().numpy() for t in tensors), work=8 * batch.value.shape[0])
        else:
            some = batch.value > 0
            cell, gene, x = batch.cell[some], batch.gene[some], batch.value[some].double()
            at_stored = at(log_mu[cell, gene].double(), x)
            cost[cell, gene], slope[cell, gene] = (t.to(cost.dtype) for t in at_stored)
        ctx.save_for_backward(slope)
        return cost.sum(1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        return grads[0][:, None] * ctx.saved_tensors[0], None, None, None
