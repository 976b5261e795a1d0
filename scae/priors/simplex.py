"""The logistic-normal: a latent of shares."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..parts import option, part
from ..records import Cells, DataSpec, Encoded
from .base import Prior, normal_kl, normal_log_prob


@part("prior", "simplex")
class Simplex(Prior):
    """Logistic-normal: the latent is a softmax, shares of topics (Srivastava & Sutton 2017; Zhao 2021).

    A normal variable y ~ N(0, s²) stands behind the latent z = softmax(y), which is what is decoded and written: from zero and of
    sum one. The KL is that of y. s² = (1 − 1/dim) / concentration is the Laplace approximation, in the softmax basis, of a
    symmetric Dirichlet. The written point is the softmax of y's mean, and its standard deviation is to first order.
    With a linear decoder this is the topic model of ProdLDA (doi:10.48550/arXiv.1703.01488) and scETM
    (doi:10.1038/s41467-021-25534-2).

    Examples
    --------
    >>> from scae.bottlenecks import Gaussian
    >>> Gaussian(dim=20, prior=Simplex(concentration=0.5)).prior.concentration
    0.5
    """

    concentration: float = option("of the symmetric Dirichlet that is approximated", default=1.0, low=1e-3)

    def build(self, dim: int, data: DataSpec, rng: torch.Generator) -> nn.Module:
        if dim < 2:
            raise ConfigError(f"prior 'simplex': the latent has size {dim}; allowed: at least 2, since shares sum to one.")
        return nn.Module()

    def _sd(self, z: Tensor) -> Tensor:
        return z.new_tensor(math.sqrt((1 - 1 / z.shape[1]) / self.concentration))

    def log_prob(self, weights: nn.Module, z: Tensor, encoded: Encoded, cells: Cells) -> Tensor:
        return normal_log_prob(z, z.new_zeros(()), self._sd(z)).sum(1)

    def kl_parts(self, weights: nn.Module, mean: Tensor, sd: Tensor, z: Tensor, encoded: Encoded, cells: Cells) -> Tensor:
        return normal_kl(mean, sd, mean.new_zeros(()), self._sd(mean))

    def to_latent(self, z: Tensor) -> Tensor:
        return torch.softmax(z, 1)

    def latent_sd(self, mean: Tensor, sd: Tensor) -> Tensor:
        share, variance = torch.softmax(mean, 1), sd.square()
        common = (share.square() * variance).sum(1, keepdim=True)  # Σⱼ (∂zᵢ/∂yⱼ)² varⱼ with ∂zᵢ/∂yⱼ = zᵢ (δᵢⱼ − zⱼ)
        return share * ((1 - 2 * share) * variance + common).clamp_min(0).sqrt()
