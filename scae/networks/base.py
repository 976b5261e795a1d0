"""What a network is: an encoder and a decoder of one architecture, and how covariates reach them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..layers import Named
from ..records import Cells, DataSpec, Encoded, EncoderInput


@dataclass(frozen=True)
class Ends:
    """What an architecture has to connect.

    Attributes
    ----------
    n_stats
        How many numbers per cell the encoder gives to the bottleneck; the first ``n_latent`` are the latent itself.
    n_latent
        Size of the latent.
    readouts
        Names of the likelihood's parameters that the decoder gives per cell and gene; the mean's first.
    data
        The genes.
    n_design
        Columns of the covariates' design matrix.
    rng
        Where initial weights are drawn.
    """

    n_stats: int
    n_latent: int
    readouts: tuple[str, ...]
    data: DataSpec
    n_design: int
    rng: torch.Generator


class First(Protocol):
    """The first layer of an encoder, from sparse counts."""

    def __call__(self, seen: EncoderInput, design: Tensor | None, rng: torch.Generator | None) -> Tensor: ...

    def jacobian_sq(self, u: Tensor) -> Tensor: ...


class Encoder(nn.Module, ABC):
    """The weights from counts to the numbers that the bottleneck asks for; ``first`` is the layer that takes sparse counts."""

    first: First

    def forward(self, seen: EncoderInput, design: Tensor | None, rng: torch.Generator | None) -> Encoded:
        """Encode some cells; dropout and noise are drawn from ``rng``, and there is none without it."""
        first = self.first(seen, design, rng)  # (cells, width)
        stats = self.rest(first, design, rng)  # (cells, n_stats)
        return Encoded(stats, first, design, lambda x, d: self.rest(x, d, rng), self.first.jacobian_sq)

    @abstractmethod
    def rest(self, first: Tensor, design: Tensor | None, rng: torch.Generator | None) -> Tensor:
        """``(cells, n_stats)`` from the first layer's output ``(cells, width)``; without ``design`` covariates are at zero."""


class Decoder(nn.Module, ABC):
    """The weights from the latent to the likelihood's parameters per cell and gene; ``readouts`` are its last layers."""

    def __init__(self, readouts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.readouts = Named(readouts)

    @abstractmethod
    def forward(self, z: Tensor, design: Tensor | None, rng: torch.Generator | None) -> dict[str, Tensor]:
        """Raw parameters by name, ``(cells, genes)`` each, from a latent ``(cells, n_latent)``."""

    def latent_weights(self) -> Tensor:
        """``(width, n_latent)``, the matrix by which the latent enters the decoder; of several read-outs the mean's.

        Raises
        ------
        ConfigError
            If the decoder has no such matrix.
        """
        raise ConfigError(
            f"{type(self).__name__} has no matrix whose columns could have norm one, which this bottleneck needs. "
            "Take another network, such as 'mlp' or 'linear'."
        )

    def start(self, biases: Mapping[str, Tensor]) -> None:
        """Set the bias ``(genes,)`` of some read-outs."""
        for name, bias in biases.items():
            self.readouts[name].bias.data.copy_(bias)


class Network(ABC):
    """An architecture."""

    n_decoders: int = 1  # each decodes a draw of its own; losses and means are averaged over them
    covariate_embedding: int = 0  # length of the vector learned for each level of a categorical covariate; 0: one-hot

    @abstractmethod
    def encoder(self, ends: Ends) -> Encoder:
        """A new encoder."""

    @abstractmethod
    def decoder(self, ends: Ends, encoder: Encoder) -> Decoder:
        """A new decoder, for an encoder whose weights it may share."""


class Covariates(nn.Module):
    """The design matrix in which covariates reach the layers: one-hot levels, or a learned vector per level.

    Parameters
    ----------
    data
        The covariates and their levels.
    size
        Length of the vectors; 0 keeps the levels one-hot.
    rng
        The vectors start as standard normal draws.
    """

    def __init__(self, data: DataSpec, size: int, rng: torch.Generator) -> None:
        super().__init__()
        self.n_levels = [len(levels) for levels in data.levels]
        drawn = (torch.randn(n, size, generator=rng, device=rng.device) for n in self.n_levels if size)
        self.vectors = cast(list[Tensor], nn.ParameterList(drawn))
        self.width = (len(self.n_levels) * size if size else sum(self.n_levels)) + len(data.moments)

    def forward(self, cells: Cells) -> Tensor | None:
        """``(cells, width)``: the batch, further categorical covariates, continuous ones; None where there are none."""
        if not self.width:
            return None
        codes = [*([] if cells.batch is None else [cells.batch]), *cells.covariates.T]
        hot = [nn.functional.one_hot(c, n).to(cells.library.dtype) for c, n in zip(codes, self.n_levels, strict=True)]
        if self.vectors:
            hot = [h @ v for h, v in zip(hot, self.vectors, strict=True)]
        return torch.cat([*hot, cells.continuous], dim=1)
