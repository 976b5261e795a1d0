"""Poisson cost of a batch of counts: a zero costs μ nats, stored entries are overwritten."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import threads
from ..batch import CountBatch
from ..kernels.losses import poisson_stored


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
    return _Poisson.apply(log_mu, batch)


class _Poisson(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, log_mu: Tensor, batch: CountBatch) -> Tensor:
        cost = log_mu.exp()
        slope = cost.clone()
        if cost.device.type == "cpu":
            tensors = (batch.indptr, batch.gene, batch.value, log_mu.contiguous(), cost, slope)
            threads.run(poisson_stored, len(batch), *(t.detach().numpy() for t in tensors), work=8 * batch.value.shape[0])
        else:
            some = batch.value > 0
            cell, gene, x = batch.cell[some], batch.gene[some], batch.value[some].double()
            eta = log_mu[cell, gene].double()
            cost[cell, gene] = (eta.exp() - x * eta + torch.lgamma(x + 1)).to(cost.dtype)
            slope[cell, gene] = (eta.exp() - x).to(cost.dtype)
        ctx.save_for_backward(slope)
        return cost.sum(1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0][:, None] * ctx.saved_tensors[0], None
