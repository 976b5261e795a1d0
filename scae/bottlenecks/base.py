"""What a bottleneck is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor, nn

from ..priors.base import Sample
from ..records import Cells, DataSpec, Encoded, Latent


class LatentWeights(Protocol):
    """A decoder that knows the matrix by which the latent enters it."""

    def latent_weights(self) -> Tensor: ...


class Bottleneck(ABC):
    """A latent of ``dim`` numbers per cell, made from ``n_stats`` numbers of the encoder.

    The part itself is a value. What it learns (a codebook, a prior) is in the module that :meth:`build` makes and that every
    method receives; ``weights.training`` says whether a fit is under way.
    """

    dim: int
    n_samples: int = 1  # draws per cell in the loss

    @property
    @abstractmethod
    def n_stats(self) -> int:
        """How many numbers the encoder gives; the first ``dim`` are the latent itself."""

    def build(self, data: DataSpec, rng: torch.Generator) -> nn.Module:
        """New weights drawn from ``rng``; none by default."""
        return nn.Module()

    def start(self, weights: nn.Module, sample: Sample, rng: torch.Generator) -> None:  # noqa: B027
        """Start the weights from encoded training cells, before the first step; ``sample(n)`` encodes at most n at random."""

    @abstractmethod
    def __call__(self, weights: nn.Module, encoded: Encoded, cells: Cells, rng: torch.Generator | None) -> Latent:
        """The latent; a random one is drawn from ``rng``, and is at its mean without."""

    def to_decoder(self, z: Tensor, decoder: LatentWeights) -> Tensor:
        """The latent ``(cells, dim)`` as it enters a decoder; unchanged by default."""
        return z

    def after_step(self, weights: nn.Module, latent: Latent, rng: torch.Generator) -> None:  # noqa: B027
        """Change buffers, in place, after a step of the optimiser; nothing else ever changes them."""

    def bound(self, nll: Tensor, latent: Latent, warmup: float) -> Tensor:
        """The loss of each cell ``(cells,)``, nats, from ``(n_samples · cells,)``: by default −ELBO plus penalties."""
        return (nll + warmup * latent.kl + latent.penalty).view(self.n_samples, -1).mean(0)


def point(z: Tensor) -> Latent:
    """A latent ``(cells, dim)`` without spread or cost."""
    zero = z.new_zeros(len(z))
    return Latent(z, z, kl=zero, penalty=zero)
