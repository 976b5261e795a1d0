"""Negative binomial cost of sparse counts, with lgamma at stored counts only.

A zero costs θ·log1p(μ/θ) nats and needs no lgamma, so the dense part is a softplus. The costs at stored counts are then
overwritten; see ``kernels.losses`` for the reason.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from .. import threads
from ..kernels.losses import nb_stored
from ..records import Counts


def nb_nll(log_mu: Tensor, log_theta: Tensor, counts: Counts) -> Tensor:
    """−log NB(x; μ, θ), summed over genes.

    Parameters
    ----------
    log_mu
        ``(cells, genes)``, log of the expected counts.
    log_theta
        ``(genes,)`` or ``(cells, genes)``, log of the inverse dispersion θ (variance μ + μ²/θ).
    counts
        The observed counts.

    Returns
    -------
    Tensor
        ``(cells,)``, nats.
    """
    return _NB.apply(log_mu, log_theta, counts)


class _NB(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, log_mu: Tensor, log_theta: Tensor, counts: Counts) -> Tensor:
        theta, cost, slope_mu, slope_theta = zeros(log_mu, log_theta)
        put_stored(counts, log_mu, log_theta, theta, cost, slope_mu, slope_theta)
        ctx.save_for_backward(slope_mu, slope_theta)
        ctx.per_gene = log_theta.dim() == 1
        return cost.sum(1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        grad, (slope_mu, slope_theta) = grads[0], ctx.saved_tensors
        d_mu = grad[:, None] * slope_mu if ctx.needs_input_grad[0] else None
        d_theta = None
        if ctx.needs_input_grad[1]:
            d_theta = grad @ slope_theta if ctx.per_gene else grad[:, None] * slope_theta
        return d_mu, d_theta, None


def zeros(log_mu: Tensor, log_theta: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """θ, and the cost of a zero and its derivatives in log μ and log θ, ``(cells, genes)`` each."""
    theta = log_theta.exp()
    log_odds = log_mu - log_theta
    cost = softplus(log_odds, threshold=40.0).mul_(theta)
    slope_mu = log_odds.sigmoid_().mul_(theta)
    return theta, cost, slope_mu, cost - slope_mu


def put_stored(counts: Counts, log_mu: Tensor, log_theta: Tensor, theta: Tensor, *dense: Tensor) -> None:
    """Overwrite cost and derivatives from :func:`zeros` at the stored counts."""
    (_put_numba if log_mu.device.type == "cpu" else _put_torch)(counts, log_mu, log_theta, theta, *dense)


def _put_numba(counts: Counts, log_mu: Tensor, log_theta: Tensor, theta: Tensor, *dense: Tensor) -> None:
    rows = [t.detach().contiguous() for t in (log_mu, torch.atleast_2d(log_theta), torch.atleast_2d(theta), *dense)]
    arrays = [t.numpy() for t in (counts.indptr, counts.gene, counts.value, *rows)]
    threads.run(nb_stored, len(counts), *arrays, work=8 * counts.value.shape[0])


def _put_torch(counts: Counts, log_mu: Tensor, log_theta: Tensor, theta: Tensor, *dense: Tensor) -> None:
    """The same in torch, in float64; less accurate than the kernel for θ ≫ μ (relative error about 1e-7 at θ = 10⁸)."""
    stored = counts.value > 0
    cell, gene, x = counts.cell[stored], counts.gene[stored], counts.value[stored].double()
    at = (gene,) if log_theta.dim() == 1 else (cell, gene)
    eta, theta_log, t = log_mu[cell, gene].double(), log_theta[at].double(), theta[at].double()
    odds = softplus(eta - theta_log, threshold=40.0)
    u = (x - eta.exp()) / (t + eta.exp())
    gammas = torch.lgamma(x + t) - torch.lgamma(t) - torch.lgamma(x + 1)
    values = (
        t * odds - gammas - x * (eta - theta_log - odds),
        -t * u,
        -t * (torch.digamma(x + t) - torch.digamma(t) - odds - u),
    )
    for matrix, value in zip(dense, values, strict=True):
        matrix[cell, gene] = value.to(matrix.dtype)
