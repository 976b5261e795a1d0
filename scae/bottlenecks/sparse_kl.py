"""Sparse codes by a target rate."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from ..parts import option, part
from ..priors.base import Sample
from ..records import Cells, DataSpec, Encoded, Latent
from .base import Bottleneck, point

_START_CELLS = 1024  # training cells whose activations the running rates start from


class Rates(nn.Module):
    """The running mean activation of each unit, ``(dim,)``."""

    rate: Tensor

    def __init__(self, rate: Tensor) -> None:
        super().__init__()
        self.register_buffer("rate", rate)


@part("bottleneck", "sparse_kl")
class SparseKL(Bottleneck):
    """Sigmoid units that are held to a mean activation by KL(ρ ‖ ρ̂) of two Bernoulli variables (Lee 2007; Ng 2011).

    ρ̂ is each unit's mean over the minibatch blended with its running average, so that small minibatches do not make it jump;
    the gradient is that of the minibatch's own mean. A cell that is scored is charged at the running average: its score does
    not depend on its neighbours in the minibatch. The sum over units is charged to every cell, in nats.
    """

    dim: int = option("size of the latent", default=64, low=1)
    weight: float = option("weight of the cost of sparsity", default=1.0, low=0.0)
    rate: float = option("share of the time that a unit is to be on", default=0.05, low=1e-4, high=1 - 1e-4)
    decay: float = option("share of a running average that a step keeps", default=0.9, low=0.0, high=0.9999)

    @property
    def n_stats(self) -> int:
        return self.dim

    def build(self, data: DataSpec, rng: torch.Generator) -> nn.Module:
        return Rates(torch.full((self.dim,), 0.5, device=rng.device))

    def start(self, weights: nn.Module, sample: Sample, rng: torch.Generator) -> None:
        cast(Rates, weights).rate.copy_(sample(_START_CELLS)[0].stats.sigmoid().mean(0))

    def __call__(
        self,
        weights: nn.Module,
        encoded: Encoded,
        cells: Cells,
        rng: torch.Generator | None,
    ) -> Latent:
        z, running = encoded.stats.sigmoid(), cast(Rates, weights).rate
        mean = z.mean(0)  # (dim,)
        blend = running
        if weights.training:
            blend = running.lerp(mean.detach(), 1 - self.decay) + (mean - mean.detach())
        cost = self.weight * bernoulli_kl(self.rate, blend).sum()
        history = {"mean_activation": blend.detach().mean()}
        return point(z)._replace(penalty=cost.expand(len(z)), history=history, state=mean.detach())

    def after_step(self, weights: nn.Module, latent: Latent, rng: torch.Generator) -> None:
        cast(Rates, weights).rate.lerp_(latent.state, 1 - self.decay)


def bernoulli_kl(target: float, rate: Tensor) -> Tensor:
    """KL(Bernoulli(target) ‖ Bernoulli(rate)) of each rate, nats; rates are held off 0 and 1, where it is infinite."""
    rate = rate.clamp(1e-6, 1 - 1e-6)
    on = torch.as_tensor(target, dtype=rate.dtype, device=rate.device)
    return on * (on / rate).log() + (1 - on) * ((1 - on) / (1 - rate)).log()
