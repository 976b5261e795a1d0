"""Binary latents, compared by Hamming distance."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from ..draws import uniform
from ..parts import option, part
from ..records import Cells, Encoded, Latent
from .base import Bottleneck

ESTIMATORS = ("straight_through", "relaxed")


@part("bottleneck", "binary")
class Binary(Bottleneck):
    """Binary latent with a Bernoulli posterior per bit: semantic hashing as a discrete VAE (Salakhutdinov & Hinton 2009).

    A draw of bits has no gradient. Both estimators draw b = [l + logistic noise > 0], where l are the encoder's log odds, and use
    the gradient of σ((l + noise) / temperature) (Maddison 2017, doi:10.48550/arXiv.1611.00712; Jang 2017,
    doi:10.48550/arXiv.1611.01144). ``"straight_through"`` decodes the bit; ``"relaxed"`` decodes the sigmoid in training and the
    bit afterwards. The embedding holds the more probable value of each bit; the Hamming distance between two cells equals their
    squared Euclidean distance.
    """

    any_value = False
    dim: int = option("number of latent bits", default=32, low=1)
    beta: float = option("weight of the KL term", default=1.0, low=0.0)
    rate: float = option("prior probability that a bit is 1", default=0.5, low=1e-4, high=1 - 1e-4)
    estimator: str = option("bits or relaxed bits for the decoder in training", default="straight_through", choices=ESTIMATORS)
    temperature: float = option("temperature of the sigmoid whose gradient is used; higher is smoother", default=0.5, low=0.01)

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
            noise = uniform(logit, rng).logit(1e-6)
        soft = ((logit + noise) / self.temperature).sigmoid()
        hard = (logit + noise > 0).to(logit.dtype)
        z = soft if self.estimator == "relaxed" and weights.training and rng is not None else hard + (soft - soft.detach())
        on = logit.sigmoid()
        kl = binary_kl(logit, self.rate).sum(1)
        return Latent(z, (logit > 0).to(logit.dtype), kl, torch.zeros_like(kl), sd=(on * (1 - on)).sqrt())

    def sample(self, weights: nn.Module, encoded: Encoded, cells: Cells, rng: torch.Generator) -> Tensor:
        return (uniform(encoded.stats, rng) < self.rate).to(encoded.stats.dtype)


def binary_kl(logit: Tensor, rate: float) -> Tensor:
    """KL(Bernoulli(σ(logit)) ‖ Bernoulli(rate)) of each bit, nats; accurate even for very large logits."""
    on = logit.sigmoid()
    return on * (logsigmoid(logit) - math.log(rate)) + (1 - on) * (logsigmoid(-logit) - math.log1p(-rate))
