"""The logistic-normal distribution: a latent of proportions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..draws import normal
from ..errors import ConfigError
from ..keys import DataSpec
from ..parts import option, part
from ..records import Cells, Encoded
from .base import Prior, normal_kl, normal_log_prob


@part("prior", "simplex")
class Simplex(Prior):
    """Logistic-normal prior: the latent is a vector of topic proportions (Srivastava & Sutton 2017; Zhao 2021).

    The latent is z = softmax(y) of a normal variable y ~ N(0, s²): nonnegative numbers that sum to one. They are decoded and
    written to the embedding. The KL is that of y. The variance s² = (1 − 1/dim) / concentration is the Laplace approximation of
    a symmetric Dirichlet distribution in the softmax basis. The embedding is the softmax of y's posterior mean; its standard
    deviation is a first-order approximation. With a linear decoder this is the topic model of ProdLDA
    (doi:10.48550/arXiv.1703.01488) and scETM (doi:10.1038/s41467-021-25534-2).

    Examples
    --------
    >>> from scae.bottlenecks import Gaussian
    >>> Gaussian(dim=20, prior=Simplex(concentration=0.5)).prior.concentration
    0.5
    """

    any_value = False
    concentration: float = option("concentration of the approximated symmetric Dirichlet distribution", default=1.0, low=1e-3)

    def build(self, dim: int, data: DataSpec, rng: torch.Generator) -> nn.Module:
        if dim < 2:
            raise ConfigError(f"prior 'simplex': the latent has size {dim}; allowed: at least 2, since proportions sum to one.")
        return nn.Module()

    def _sd(self, z: Tensor) -> Tensor:
        return z.new_tensor(math.sqrt((1 - 1 / z.shape[1]) / self.concentration))

    def log_prob(self, weights: nn.Module, z: Tensor, encoded: Encoded, cells: Cells) -> Tensor:
        return normal_log_prob(z, z.new_zeros(()), self._sd(z)).sum(1)

    def kl_parts(self, weights: nn.Module, mean: Tensor, sd: Tensor, z: Tensor, encoded: Encoded, cells: Cells) -> Tensor:
        return normal_kl(mean, sd, mean.new_zeros(()), self._sd(mean))

    def sample(self, weights: nn.Module, encoded: Encoded, cells: Cells, rng: torch.Generator) -> Tensor:
        like = encoded.stats.chunk(2, dim=1)[0]
        return self._sd(like) * normal(like, rng)

    def to_latent(self, z: Tensor) -> Tensor:
        return torch.softmax(z, 1)

    def latent_sd(self, mean: Tensor, sd: Tensor) -> Tensor:
        share, variance = torch.softmax(mean, 1), sd.square()
        common = (share.square() * variance).sum(1, keepdim=True)  # Σⱼ (∂zᵢ/∂yⱼ)² varⱼ with ∂zᵢ/∂yⱼ = zᵢ (δᵢⱼ − zⱼ)
        return share * ((1 - 2 * share) * variance + common).clamp_min(0).sqrt()
