"""Zero-inflated negative binomial cost of sparse counts, with lgamma at stored counts only.

A zero has probability π + (1 − π) NB(0). With ℓ the logit of π and c the NB cost of a zero, its cost is
softplus(ℓ) − log(e^ℓ + e^−c). A count above zero costs softplus(ℓ) more than under the NB.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ..records import Counts
from .nb import put_stored, zeros


def zinb_nll(log_mu: Tensor, log_theta: Tensor, logit: Tensor, counts: Counts) -> Tensor:
    """−log ZINB(x; μ, θ, π), summed over genes.

    Parameters
    ----------
    log_mu
        ``(cells, genes)``, log of the expected counts of the NB component.
    log_theta
        ``(genes,)`` or ``(cells, genes)``, log of the inverse dispersion θ (variance μ + μ²/θ).
    logit
        ``(cells, genes)``, logit of π, the probability of an extra zero.
    counts
        The observed counts.

    Returns
    -------
    Tensor
        ``(cells,)``, nats.
    """
    return _ZINB.apply(log_mu, log_theta, logit, counts)


class _ZINB(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, log_mu: Tensor, log_theta: Tensor, logit: Tensor, counts: Counts) -> Tensor:
        theta, cost, slope_mu, slope_theta = zeros(log_mu, log_theta)
        inflated = (logit + cost).sigmoid_()  # posterior probability that a zero is an extra zero
        log_zero = torch.logaddexp(logit, -cost)
        put_stored(counts, log_mu, log_theta, theta, cost, slope_mu, slope_theta)
        stored = counts.value > 0
        cell, gene = (counts.cell, counts.gene) if stored.all() else (counts.cell[stored], counts.gene[stored])
        log_zero[cell, gene] = -cost[cell, gene]  # from here on: log of what multiplies 1 − π
        inflated[cell, gene] = 0.0
        total = softplus(logit, threshold=40.0).sub_(log_zero).sum(1)
        slope_logit = logit.sigmoid().sub_(inflated)
        counted = inflated.neg_().add_(1.0)
        ctx.save_for_backward(slope_mu.mul_(counted), slope_theta.mul_(counted), slope_logit)
        ctx.per_gene = log_theta.dim() == 1
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        grad, (slope_mu, slope_theta, slope_logit) = grads[0], ctx.saved_tensors
        d_mu = grad[:, None] * slope_mu if ctx.needs_input_grad[0] else None
        d_logit = grad[:, None] * slope_logit if ctx.needs_input_grad[2] else None
        d_theta = None
        if ctx.needs_input_grad[1]:
            d_theta = grad @ slope_theta if ctx.per_gene else grad[:, None] * slope_theta
        return d_mu, d_theta, d_logit, None
