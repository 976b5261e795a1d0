"""The standard normal distribution."""

from __future__ import annotations

from torch import Tensor, nn

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
