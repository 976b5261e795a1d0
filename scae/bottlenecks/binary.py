"""Bits: codes that fit into a machine word and are compared by counting."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from ..parts import option, part
from ..records import Cells, Encoded, Latent
from .base import Bottleneck

ESTIMATORS = ("straight_through", "relaxed")


@part("bottleneck", "binary")
class Binary(Bottleneck):
    """A Bernoulli posterior for each bit: semantic hashing (Salakhutdinov & Hinton 2009) as a discrete VAE.

    A draw of bits has no gradient. Both estimators draw b = [l + logistic noise > 0], with l the encoder's log odds, and take
    the gradient of σ((l + noise) / temperature) (Maddison 2017; Jang 2017). ``"straight_through"`` decodes the bit itself;
    ``"relaxed"`` decodes that sigmoid while training, and bits ever after. Without a generator a bit stands at its more probable
    value: those bits are the embedding, and their Hamming distance is a squared Euclidean one.
    """

    dim: int = option("size of the latent", default=32, low=1)
    beta: float = option("weight of the KL term", default=1.0, low=0.0)
    rate: float = option("share of the time that a unit is to be on", default=0.5, low=1e-4, high=1 - 1e-4)
    estimator: str = option("what the decoder sees of a bit in training", default="straight_through", choices=ESTIMATORS)
    temperature: float = option("softness of a bit's gradient", default=0.5, low=0.01)

    @property
    def n_stats(self) -> int:
        return self.dim

    def __call__(
        self,
        weights: nn.Module,
        encoded: Encoded,
        cells: Cells,
        rng: torch.Generator | None,
    ) -> Latent:
        logit = encoded.stats  # (cells, dim)
        noise = torch.zeros_like(logit)
        if rng is not None:
            noise = torch.rand(logit.shape, generator=rng, device=logit.device, dtype=logit.dtype).logit(1e-6)
        soft = ((logit + noise) / self.temperature).sigmoid()
        hard = (logit + noise > 0).to(logit.dtype)
        z = soft if self.estimator == "relaxed" and weights.training and rng is not None else hard + (soft - soft.detach())
        on = logit.sigmoid()
        kl = self.beta * binary_kl(logit, self.rate).sum(1)
        return Latent(z, (logit > 0).to(logit.dtype), kl, torch.zeros_like(kl), sd=(on * (1 - on)).sqrt())


def binary_kl(logit: Tensor, rate: float) -> Tensor:
    """KL(Bernoulli(σ(logit)) ‖ Bernoulli(rate)) of each bit, nats; exact where the posterior is all but certain."""
    on = logit.sigmoid()
    return on * (logsigmoid(logit) - math.log(rate)) + (1 - on) * (logsigmoid(-logit) - math.log1p(-rate))
