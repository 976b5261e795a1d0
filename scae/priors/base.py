"""The base class of priors, and normal densities that priors share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..draws import normal
from ..errors import ConfigError
from ..keys import DataSpec
from ..records import Cells, Encoded

_LOG_2PI = math.log(2 * math.pi)


Sample = Callable[[int], tuple[Encoded, Cells]]  # at most n training cells at random, encoded


class Prior(ABC):
    """A distribution over a latent of ``dim`` numbers.

    The part itself is a value without weights; what it learns is in the module that :meth:`build` returns and that every method
    receives as ``weights``. In ``encoded``, ``stats`` and the output of ``rest(first, design)`` are ``(cells, 2 · dim)``:
    posterior means, then log variances, of the latent that has this prior.
    """

    any_value: bool = True  # whether every vector of ``dim`` numbers is a latent

    def build(self, dim: int, data: DataSpec, rng: torch.Generator) -> nn.Module:
        """New weights, drawn from ``rng``; none by default."""
        return nn.Module()

    def start(self, weights: nn.Module, sample: Sample, rng: torch.Generator) -> None:  # noqa: B027
        """Initialise the weights before the first step; ``sample(n)`` returns at most ``n`` encoded training cells."""

    @abstractmethod
    def log_prob(self, weights: nn.Module, z: Tensor, encoded: Encoded, cells: Cells) -> Tensor:
        """log p(z) ``(cells,)``, nats, of draws ``(cells, dim)``."""

    def sample(self, weights: nn.Module, encoded: Encoded, cells: Cells, rng: torch.Generator) -> Tensor:
        """Draws from the prior.

        Parameters
        ----------
        weights
            The module from :meth:`build`.
        encoded
            Cells without counts, encoded: they give the number of draws, their device and the encoder's further layers.
        cells
            Labels of the cells that are drawn.
        rng
            Source of the draws.

        Returns
        -------
        Tensor
            ``(cells, dim)``.

        Raises
        ------
        ConfigError
            If this prior cannot be drawn from.
        """
        raise ConfigError(f"the prior {self} cannot be drawn from: use prior='aggregate'.")

    def kl_parts(self, weights: nn.Module, mean: Tensor, sd: Tensor, z: Tensor, encoded: Encoded, cells: Cells) -> Tensor:
        """Terms of KL(N(mean, sd²) ‖ prior).

        In closed form if there is one. Otherwise the one-draw estimate log q(z) − log p(z), which is unbiased only if ``z`` is a
        draw from N(mean, sd²), not its mean.

        Parameters
        ----------
        weights
            The module from :meth:`build`.
        mean, sd
            ``(cells, dim)``, posterior mean and standard deviation.
        z
            ``(cells, dim)``, a draw from the posterior.
        encoded, cells
            Output of the encoder, and batches and labels of the cells.

        Returns
        -------
        Tensor
            Nats: ``(cells, dim)`` if the prior factorises over dimensions, otherwise ``(cells, 1)``.
        """
        return (normal_log_prob(z, mean, sd).sum(1) - self.log_prob(weights, z, encoded, cells))[:, None]

    def penalty(self, weights: nn.Module, z: Tensor, cells: Cells) -> Tensor:
        """What the loss has beside the KL ``(cells,)``, nats, at draws ``(cells, dim)``; nothing by default."""
        return z.new_zeros(len(z))

    def kl(self, weights: nn.Module, mean: Tensor, sd: Tensor, z: Tensor, encoded: Encoded, cells: Cells) -> Tensor:
        """KL(N(mean, sd²) ‖ prior) ``(cells,)``, nats: the sum of :meth:`kl_parts`."""
        return self.kl_parts(weights, mean, sd, z, encoded, cells).sum(1)

    def to_latent(self, z: Tensor) -> Tensor:
        """The latent that is decoded and written, from the normal variable, ``(cells, dim)`` each; the same by default."""
        return z

    def latent_sd(self, mean: Tensor, sd: Tensor) -> Tensor:
        """Standard deviation of the latent, from mean and standard deviation of the normal variable, ``(cells, dim)`` each."""
        return sd


def posterior(stats: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation ``(cells, dim)`` from an encoder's means and log variances ``(cells, 2 · dim)``."""
    mean, log_variance = stats.chunk(2, dim=1)
    return mean, (0.5 * log_variance.clamp(-14.0, 8.0)).exp()


def draw(mean: Tensor, sd: Tensor, rng: torch.Generator | None) -> Tensor:
    """A reparametrised draw from N(mean, sd²); the mean if ``rng`` is None."""
    if rng is None:
        return mean
    return mean + sd * normal(mean, rng)


def normal_log_prob(z: Tensor, mean: Tensor, sd: Tensor) -> Tensor:
    """log N(z; mean, sd²), elementwise."""
    return -0.5 * ((z - mean) / sd).square() - sd.log() - 0.5 * _LOG_2PI


def normal_kl(mean: Tensor, sd: Tensor, to_mean: Tensor, to_sd: Tensor) -> Tensor:
    """KL(N(mean, sd²) ‖ N(to_mean, to_sd²)), elementwise, nats."""
    return 0.5 * (((mean - to_mean) / to_sd).square() + (sd / to_sd).square() - 1) - (sd / to_sd).log()


def mixture_log_prob(z: Tensor, mean: Tensor, sd: Tensor, log_weight: Tensor) -> Tensor:
    """log Σₖ wₖ N(z; meanₖ, sdₖ²) ``(cells,)``; z ``(cells, dim)``, mean and sd ``(k, dim)``, log w ``(k,)``."""
    each = normal_log_prob(z[:, None], mean, sd).sum(2)  # (cells, k)
    return torch.logsumexp(each + log_weight, dim=1)


def mixture_draw(mean: Tensor, sd: Tensor, weight: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """Draws ``(n, dim)`` from Σₖ wₖ N(meanₖ, sdₖ²); mean and sd ``(k, dim)``, w ``(k,)``."""
    which = torch.multinomial(weight, n, replacement=True, generator=rng) if n else weight.new_zeros(0, dtype=torch.int64)
    return draw(mean[which], sd[which], rng)


class Components(nn.Module):
    """Normal components with diagonal covariance; means start at draws from N(0, 1), standard deviations at one."""

    def __init__(self, n: int, dim: int, rng: torch.Generator) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.randn((n, dim), generator=rng, device=rng.device))
        self.log_sd = nn.Parameter(torch.zeros((n, dim), device=rng.device))


def components(weights: nn.Module) -> tuple[Tensor, Tensor]:
    """Means and standard deviations ``(n, dim)`` of :class:`Components`."""
    return weights.get_parameter("mean"), weights.get_parameter("log_sd").clamp(-7.0, 4.0).exp()
