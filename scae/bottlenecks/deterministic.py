"""A latent without noise or cost."""

from __future__ import annotations

import torch
from torch import nn

from ..parts import option, part
from ..records import Cells, Encoded, Latent
from .base import Bottleneck, point


@part("bottleneck", "deterministic")
class Deterministic(Bottleneck):
    """Plain autoencoder: a latent without noise or cost (Hinton & Salakhutdinov 2006, doi:10.1126/science.1127647)."""

    is_identity = True
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
