"""What a cell's own counts say of its expected counts, where these have a gamma distribution around the decoder's mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..ops.log_mean import mean_log1p

_LEAST = 1e-12  # keeps quotients of expected counts finite
_MOST = 1e8  # θ from which on a gamma distribution is a point


class GammaRates(NamedTuple):
    """Expected counts of cells of the same kind: gamma-distributed with mean μ and shape θ, or zero."""

    mean: Tensor  # (cells, genes), μ
    theta: Tensor | None = None  # (genes,) or (cells, genes); None: the likelihood has none, all such cells are alike
    on: Tensor | None = None  # (cells, genes), probability that the rate is not zero; None: it never is


class Posterior(NamedTuple):
    """The posterior of each cell's own expected counts, ``(cells, genes)`` each.

    ``log_mean`` is E[log1p(scale · X)] of new counts X, from their exposure relative to that of the cell's counts ``(cells, 1)``
    and the scale; None where it is not defined.
    """

    mean: Tensor
    sd: Tensor
    log_mean: Callable[[Tensor, float], Tensor] | None = None


@dataclass(frozen=True)
class Seen:
    """What was seen of some cells, and how far it is to be trusted.

    Attributes
    ----------
    counts
        ``(cells, genes)``.
    measured
        ``(genes,)``, 1 where a gene was measured, 0 where it was not.
    factor
        ``(genes,)``, what to multiply each θ by; likelihoods without a dispersion have θ = 1. None: their own θ, which for these
        is infinite.
    technical_cv2
        The part of the overdispersion that is technical, a squared coefficient of variation.
    """

    counts: Tensor
    measured: Tensor
    factor: Tensor | None = None
    technical_cv2: float = 0.0

    def theta(self, own: Tensor | None) -> Tensor:
        """θ of the posterior, from that of the likelihood."""
        if self.factor is None:
            return self.counts.new_full((1,), _MOST) if own is None else own
        return (self.factor if own is None else own * self.factor).clamp_max(_MOST)


def gamma_posterior(rates: GammaRates, seen: Seen) -> Posterior:
    """The posterior of rates after Poisson counts: a count x of weight w leaves Gamma(θ + w x, θ / μ + w).

    The weight is 1 for a count, and 0 for a gene that was not measured. With a technical squared coefficient of variation τ, 1/θ
    stands for both kinds of variation: 1 + 1/θ = (1 + 1/b) (1 + τ), where b is the shape of the rates themselves. The weight is
    then 1 / (1 + τ μ (1 + 1/b)), with which the mean is the best linear estimate of the rate.

    References
    ----------
    Best linear estimates: Bühlmann (1967), ASTIN Bulletin 4:199, doi:10.1017/S0515036100008989.
    """
    mu, theta, weight = rates.mean.clamp_min(_LEAST), seen.theta(rates.theta), seen.measured
    if seen.technical_cv2:
        tau = seen.technical_cv2
        excess = ((1 + 1 / theta) / (1 + tau) - 1).clamp_min(1 / _MOST)  # 1/b
        theta, weight = 1 / excess, weight / (1 + tau * mu * (1 + excess))
    shape = theta + weight * seen.counts
    mean = mu * shape / (theta + weight * mu)
    if rates.on is None:
        return Posterior(mean, mean / shape.sqrt(), lambda ratio, scale: mean_log1p(mean * ratio, shape, scale))
    silent = rates.on * torch.exp(-theta * torch.log1p(weight * mu / theta))  # the rate is not zero, and yet there is no count
    on = torch.where(seen.counts > 0, 1.0, silent / (1 - rates.on + silent))
    variance = on * mean**2 * (1 / shape + 1 - on)
    return Posterior(on * mean, variance.sqrt(), lambda ratio, scale: on * mean_log1p(mean * ratio, shape, scale))
