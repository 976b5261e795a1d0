"""Priors over a latent: what the KL term measures a posterior against."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from .parts import part


class Prior(ABC):
    """A distribution over the latent."""

    @abstractmethod
    def kl(self, mean: Tensor, sd: Tensor) -> Tensor:
        """KL(N(mean, sd²) ‖ prior), summed over dimensions: ``(cells, dim)`` each → ``(cells,)`` nats."""


@part("prior", "standard_normal")
class StandardNormal(Prior):
    """N(0, 1) in every dimension."""

    def kl(self, mean: Tensor, sd: Tensor) -> Tensor:
        return (0.5 * (mean.square() + sd.square() - 1) - sd.log()).sum(1)
