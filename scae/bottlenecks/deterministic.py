"""A point: no noise, no cost."""

from __future__ import annotations

import torch
from torch import nn

from ..parts import option, part
from ..records import Cells, Encoded, Latent
from .base import Bottleneck, point


@part("bottleneck", "deterministic")
class Deterministic(Bottleneck):
    """A point: the plain undercomplete autoencoder (Hinton & Salakhutdinov 2006)."""

    dim: int = option("size of the latent", default=32, low=1)

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
        return point(encoded.stats)
