"""Sparse latents by a target mean activation."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from ..keys import DataSpec
from ..parts import option, part
from ..priors.base import Sample
from ..records import Cells, Encoded, Latent
from .base import Bottleneck, point

_START_CELLS = 1024  # training cells from which the running means start


class Rates(nn.Module):
    """The running mean activation of each unit, ``(dim,)``."""

    rate: Tensor

    def __init__(self, rate: Tensor) -> None:
        super().__init__()
        self.register_buffer("rate", rate)


@part("bottleneck", "sparse_kl")
class SparseKL(Bottleneck):
    """Sparse autoencoder: sigmoid units whose mean activation ρ̂ is pulled to ρ by KL(ρ ‖ ρ̂) (Lee 2007; Ng 2011).

    In training, ρ̂ is a weighted mean of a unit's mean over the minibatch and its running average, which reduces the noise of
    small minibatches; gradients pass through the minibatch's mean only. For scoring, ρ̂ is the running average alone, so a
    cell's score does not depend on other cells. Every cell pays the sum over units, in nats.
    """

    any_value = False
    dim: int = option("size of the latent", default=64, low=1)
    weight: float = option("weight of the sparsity penalty", default=1.0, low=0.0)
    rate: float = option("target mean activation of a unit, ρ", default=0.05, low=1e-4, high=1 - 1e-4)
    decay: float = option("decay of the running average per step", default=0.9, low=0.0, high=0.9999)

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
    """KL(Bernoulli(target) ‖ Bernoulli(rate)) of each rate, nats; rates are clamped away from 0 and 1, where it is infinite."""
    rate = rate.clamp(1e-6, 1 - 1e-6)
    on = torch.as_tensor(target, dtype=rate.dtype, device=rate.device)
    return on * (on / rate).log() + (1 - on) * ((1 - on) / (1 - rate)).log()
