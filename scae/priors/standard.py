"""The standard normal distribution."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..draws import normal
from ..parts import part
from ..records import Cells, Encoded
from .base import Prior, normal_log_prob


@part("prior", "standard_normal")
class StandardNormal(Prior):
    """Standard normal: N(0, 1) in every dimension (Kingma & Welling 2014)."""

    def log_prob(self, weights: nn.Module, z: Tensor, encoded: Encoded, cells: Cells) -> Tensor:
        return normal_log_prob(z, z.new_zeros(()), z.new_ones(())).sum(1)

    def kl_parts(self, weights: nn.Module, mean: Tensor, sd: Tensor, z: Tensor, encoded: Encoded, cells: Cells) -> Tensor:
        return 0.5 * (mean.square() + sd.square() - 1) - sd.log()

    def sample(self, weights: nn.Module, encoded: Encoded, cells: Cells, rng: torch.Generator) -> Tensor:
        return normal(encoded.stats.chunk(2, dim=1)[0], rng)
