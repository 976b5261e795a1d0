"""The base class of bottlenecks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..keys import DataSpec
from ..parts import of_kind
from ..priors.base import Sample
from ..records import Cells, Encoded, Latent


class LatentWeights(Protocol):
    """A decoder with a first weight matrix, see :meth:`scae.networks.Decoder.latent_weights`."""

    def latent_weights(self) -> Tensor: ...


class Bottleneck(ABC):
    """Turns ``n_stats`` outputs of the encoder into a latent of ``dim`` numbers per cell.

    The part itself is a value without weights. What it learns, such as a codebook or a prior, is in the module that
    :meth:`build` returns and that every method receives as ``weights``; ``weights.training`` is true during a fit.
    """

    dim: int
    n_samples: int = 1  # draws per cell in the loss
    beta: float = 1.0  # weight of the KL term in the loss
    any_value: bool = True  # whether every vector of ``dim`` numbers is a latent, as far as the bottleneck itself goes
    is_identity: bool = False  # whether the latent is the encoder's output, and goes to the decoder, as it is

    @property
    @abstractmethod
    def n_stats(self) -> int:
        """Number of outputs of the encoder per cell; the first ``dim`` are the latent or its mean."""

    def build(self, data: DataSpec, rng: torch.Generator) -> nn.Module:
        """New weights, drawn from ``rng``; none by default."""
        return nn.Module()

    def start(self, weights: nn.Module, sample: Sample, rng: torch.Generator) -> None:  # noqa: B027
        """Initialise the weights before the first step; ``sample(n)`` returns at most ``n`` encoded training cells."""

    @abstractmethod
    def __call__(self, weights: nn.Module, encoded: Encoded, cells: Cells, rng: torch.Generator | None) -> Latent:
        """The latent of some cells.

        Parameters
        ----------
        weights
            The module from :meth:`build`.
        encoded
            Output of the encoder.
        cells
            Batches and labels of the cells.
        rng
            Source of random draws; None gives the latent's mean (or mode, where it is discrete).

        Returns
        -------
        Latent
            The latent and its costs.
        """

    def to_decoder(self, z: Tensor, decoder: LatentWeights) -> Tensor:
        """The input ``(cells, dim)`` of a decoder for a latent ``(cells, dim)``; the latent itself by default."""
        return z

    def of_point(self, weights: nn.Module, point: Tensor) -> Tensor:
        """The latent that is decoded, from the one that is written to ``obsm``, ``(cells, dim)`` each; the same by default."""
        return point

    def sample(self, weights: nn.Module, encoded: Encoded, cells: Cells, rng: torch.Generator) -> Tensor:
        """Draws from the prior ``(cells, dim)``, as written to ``obsm``; arguments as for :meth:`scae.priors.Prior.sample`.

        Raises
        ------
        ConfigError
            If it has none.
        """
        raise ConfigError(f"the bottleneck {self} has no prior to draw from: use prior='aggregate'.")

    def at_draws(self) -> Bottleneck:
        """This bottleneck with log q(z|x) − log p(z) at its draw as ``kl``, as the importance-weighted bound needs it.

        Raises
        ------
        ConfigError
            If it cannot say this.
        """
        able = ", ".join(name for name, cls in of_kind("bottleneck").items() if cls.at_draws is not Bottleneck.at_draws)  # type: ignore[attr-defined]
        raise ConfigError(f"the importance-weighted bound of {self} is not defined; allowed: {able}. Use the ELBO.")

    def after_step(self, weights: nn.Module, latent: Latent, rng: torch.Generator) -> None:  # noqa: B027
        """Update buffers in place after a step of the optimiser; buffers change nowhere else in a fit."""

    def bound(self, nll: Tensor, latent: Latent, warmup: float) -> Tensor:
        """The loss of each cell, by default the negative ELBO plus penalties, averaged over draws.

        Parameters
        ----------
        nll
            ``(n_samples · cells,)``, −log likelihood, nats.
        latent
            The latent whose costs are added.
        warmup
            Weight of the KL term during warm-up, 0 to 1.

        Returns
        -------
        Tensor
            ``(cells,)``, nats.
        """
        return (nll + warmup * (self.beta * latent.kl) + latent.penalty).view(self.n_samples, -1).mean(0)


def point(z: Tensor) -> Latent:
    """A latent ``(cells, dim)`` that is a point: no standard deviation and no cost."""
    zero = z.new_zeros(len(z))
    return Latent(z, z, kl=zero, penalty=zero)
