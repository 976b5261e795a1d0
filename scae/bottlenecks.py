"""Bottlenecks: what becomes of the encoder's numbers before the decoder sees them, and what that costs."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from .batch import Encoded, Latent
from .parts import option, part
from .priors import Prior, StandardNormal


class Bottleneck(ABC):
    """A code of ``dim`` numbers a cell, made from ``n_stats`` numbers of the encoder."""

    dim: int

    @property
    @abstractmethod
    def n_stats(self) -> int:
        """How many numbers the encoder is to give; the first ``dim`` are the code itself."""

    @abstractmethod
    def __call__(self, encoded: Encoded, rng: torch.Generator | None) -> Latent:
        """The latent; a random one is drawn from ``rng``, and without it stands at its mean."""

    def bound(self, nll: Tensor, latent: Latent, warmup: float) -> Tensor:
        """The loss of each cell ``(cells,)``, nats: by default the negative ELBO plus penalties."""
        return nll + warmup * latent.kl + latent.penalty


@part("bottleneck", "deterministic")
class Deterministic(Bottleneck):
    """A point: the plain undercomplete autoencoder."""

    dim: int = option("size of the latent", default=32, low=1)

    @property
    def n_stats(self) -> int:
        return self.dim

    def __call__(self, encoded: Encoded, rng: torch.Generator | None) -> Latent:  # noqa: ARG002
        z, nothing = encoded.stats, encoded.stats.new_zeros(len(encoded.stats))
        return Latent(z, z, torch.zeros_like(z), nothing, nothing)


@part("bottleneck", "gaussian")
class Gaussian(Bottleneck):
    """A Gaussian posterior with diagonal covariance (Kingma 2014); β weighs its KL (Higgins 2017)."""

    dim: int = option("size of the latent", default=32, low=1)
    beta: float = option("weight of the KL term", default=1.0, low=0.0)
    prior: Prior = option("prior of the latent", default=StandardNormal(), kind="prior")

    @property
    def n_stats(self) -> int:
        return 2 * self.dim

    def __call__(self, encoded: Encoded, rng: torch.Generator | None) -> Latent:
        mean, log_variance = encoded.stats.chunk(2, dim=1)  # (cells, dim) each
        sd = (0.5 * log_variance.clamp(-14.0, 8.0)).exp()
        z = mean
        if rng is not None:
            z = mean + sd * torch.randn(mean.shape, generator=rng, device=mean.device, dtype=mean.dtype)
        return Latent(z, mean, sd, self.beta * self.prior.kl(mean, sd), mean.new_zeros(len(mean)))
