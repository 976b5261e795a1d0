"""Bernoulli cost of presence: absent genes cost −log(1 − p), present ones are overwritten."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .. import threads
from ..batch import CountBatch
from ..kernels.losses import bernoulli_stored, probability_stored


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


def probability_nll(log_p: Tensor, batch: CountBatch) -> Tensor:
    """−log Bernoulli(x > 0; p), summed over genes, for probabilities that are products: their logarithm is at hand.

    Parameters
    ----------
    log_p
        ``(cells, genes)``, below zero.
    batch
        The observed counts; any count above zero is a presence.

    Returns
    -------
    Tensor
        ``(cells,)``, nats.
    """
    return _Probability.apply(log_p, batch)


class _Probability(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, log_p: Tensor, batch: CountBatch) -> Tensor:
        absent = torch.expm1(log_p).neg_()
        cost, slope = absent.log().neg_(), absent.reciprocal().sub_(1.0)  # p / (1 − p)
        if cost.device.type == "cpu":
            tensors = (batch.indptr, batch.gene, batch.value, log_p.contiguous(), cost, slope)
            threads.run(probability_stored, len(batch), *(t.detach().numpy() for t in tensors), work=batch.value.shape[0])
        else:
            some = batch.value > 0
            cell, gene = batch.cell[some], batch.gene[some]
            cost[cell, gene] = -log_p[cell, gene]
            slope[cell, gene] = -1.0
        ctx.save_for_backward(slope)
        return cost.sum(1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0][:, None] * ctx.saved_tensors[0], None
