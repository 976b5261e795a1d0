"""A point: no noise, no cost."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..batch import Encoded, Latent
from ..parts import option, part
from .base import Bottleneck


@part("bottleneck", "deterministic")
class Deterministic(Bottleneck):
    """A point: the plain undercomplete autoencoder (Hinton & Salakhutdinov 2006)."""

    dim: int = option("size of the latent", default=32, low=1)

    @property
    def n_stats(self) -> int:
        return self.dim

    def __call__(self, weights: nn.Module, encoded: Encoded, rng: torch.Generator | None) -> Latent:  # noqa: ARG002
        return point(encoded.stats)


def point(z: Tensor) -> Latent:
    """A latent ``(cells, dim)`` without spread or cost."""
    nothing = z.new_zeros(len(z))
    return Latent(z, z, torch.zeros_like(z), nothing, nothing)
