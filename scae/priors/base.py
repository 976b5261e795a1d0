"""What a prior is, and the normal densities that priors are made of."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..records import Cells, DataSpec, Encoded

_LOG_2PI = math.log(2 * math.pi)


Sample = Callable[[int], tuple[Encoded, Cells]]  # at most n training cells at random, encoded


class Prior(ABC):
    """A distribution over a latent of ``dim`` numbers.

    The part itself is a value; what it learns is in the module that :meth:`build` makes. ``encoded`` is what the encoder says of
    the latent that the prior is of: ``stats`` and ``rest(first, design)`` are ``(cells, 2 · dim)``, means then log variances.
    """

    def build(self, dim: int, data: DataSpec, rng: torch.Generator) -> nn.Module:
        """New weights drawn from ``rng``; none by default."""
        return nn.Module()

    def start(self, weights: nn.Module, sample: Sample, rng: torch.Generator) -> None:  # noqa: B027
        """Start the weights from encoded training cells, before the first step."""

    @abstractmethod
    def log_prob(self, weights: nn.Module, z: Tensor, encoded: Encoded, cells: Cells) -> Tensor:
        """log p(z), ``(cells, dim)`` → ``(cells,)`` nats."""

    def kl_parts(self, weights: nn.Module, mean: Tensor, sd: Tensor, z: Tensor, encoded: Encoded, cells: Cells) -> Tensor:
        """The terms of KL(N(mean, sd²) ‖ prior), nats: one per dimension where the prior is a product over them, otherwise one.

        In closed form where there is one, otherwise log q(z) − log p(z) at the one draw ``z``, whose expectation it is. Without
        a draw, where ``z`` is the mean, that estimate says nothing.
        """
        return (normal_log_prob(z, mean, sd).sum(1) - self.log_prob(weights, z, encoded, cells))[:, None]

    def kl(self, weights: nn.Module, mean: Tensor, sd: Tensor, z: Tensor, encoded: Encoded, cells: Cells) -> Tensor:
        """The sum of :meth:`kl_parts`, ``(cells,)`` nats."""
        return self.kl_parts(weights, mean, sd, z, encoded, cells).sum(1)

    def to_latent(self, z: Tensor) -> Tensor:
        """From the normal variable to the latent that is decoded and written, ``(cells, dim)`` each; the same by default."""
        return z

    def latent_sd(self, mean: Tensor, sd: Tensor) -> Tensor:
        """Standard deviation of the latent where the normal variable has this mean and sd, ``(cells, dim)`` each."""
        return sd


def posterior(stats: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation ``(cells, dim)`` from an encoder's means and log variances ``(cells, 2 · dim)``."""
    mean, log_variance = stats.chunk(2, dim=1)
    return mean, (0.5 * log_variance.clamp(-14.0, 8.0)).exp()


def draw(mean: Tensor, sd: Tensor, rng: torch.Generator | None) -> Tensor:
    """A draw of N(mean, sd²) that gradients pass through; the mean without ``rng``."""
    if rng is None:
        return mean
    return mean + sd * torch.randn(mean.shape, generator=rng, device=mean.device, dtype=mean.dtype)


def normal_log_prob(z: Tensor, mean: Tensor, sd: Tensor) -> Tensor:
    """log N(z; mean, sd²), elementwise."""
    return -0.5 * ((z - mean) / sd).square() - sd.log() - 0.5 * _LOG_2PI


def normal_kl(mean: Tensor, sd: Tensor, to_mean: Tensor, to_sd: Tensor) -> Tensor:
    """KL(N(mean, sd²) ‖ N(to_mean, to_sd²)), elementwise, nats."""
    return 0.5 * (((mean - to_mean) / to_sd).square() + (sd / to_sd).square() - 1) - (sd / to_sd).log()


def mixture_log_prob(z: Tensor, mean: Tensor, sd: Tensor, log_weight: Tensor) -> Tensor:
    """log Σₖ wₖ N(z; meanₖ, sdₖ²): ``(cells, dim)``, ``(k, dim)`` twice and ``(k,)`` → ``(cells,)``."""
    each = normal_log_prob(z[:, None], mean, sd).sum(2)  # (cells, k)
    return torch.logsumexp(each + log_weight, dim=1)


class Components(nn.Module):
    """Normal components with diagonal covariance: means drawn from N(0, 1), standard deviations from one."""

    def __init__(self, n: int, dim: int, rng: torch.Generator) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.randn((n, dim), generator=rng, device=rng.device))
        self.log_sd = nn.Parameter(torch.zeros((n, dim), device=rng.device))


def components(weights: nn.Module) -> tuple[Tensor, Tensor]:
    """Means and standard deviations ``(n, dim)`` of :class:`Components`."""
    return weights.get_parameter("mean"), weights.get_parameter("log_sd").clamp(-7.0, 4.0).exp()
