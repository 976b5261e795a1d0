"""Bernoulli cost of presence: an absent gene costs softplus(logit), present ones are overwritten."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .. import threads
from ..batch import CountBatch
from ..kernels.losses import bernoulli_stored


def bernoulli_nll(logit: Tensor, batch: CountBatch) -> Tensor:
    """−log Bernoulli(x > 0; σ(logit)), summed over genes.

    Parameters
    ----------
    logit
        ``(cells, genes)``.
    batch
        The observed counts; any count above zero is a presence.

    Returns
    -------
    Tensor
        ``(cells,)``, nats.
    """
    return _Bernoulli.apply(logit, batch)


class _Bernoulli(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logit: Tensor, batch: CountBatch) -> Tensor:
        cost, slope = softplus(logit, threshold=40.0), logit.sigmoid()
        if cost.device.type == "cpu":
            tensors = (batch.indptr, batch.gene, batch.value, logit.contiguous(), cost, slope)
            threads.run(bernoulli_stored, len(batch), *(t.detach().numpy() for t in tensors), work=4 * batch.value.shape[0])
        else:
            some = batch.value > 0
            cell, gene = batch.cell[some], batch.gene[some]
            cost[cell, gene] = softplus(-logit[cell, gene])
            slope[cell, gene] = -torch.sigmoid(-logit[cell, gene])
        ctx.save_for_backward(slope)
        return cost.sum(1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0][:, None] * ctx.saved_tensors[0], None
