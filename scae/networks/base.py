"""What a network is: encoder, decoder and read-outs of one architecture; covariates enter here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from ..batch import CountBatch, DataSpec, Encoded
from ..errors import ConfigError
from ..layers import Readout


class Out(Protocol):
    """The weights of a read-out: a bias for each gene, and whatever leads to it."""

    bias: Tensor


class Coder(nn.Module, ABC):
    """The weights of a network, both directions."""

    def __init__(self, down: nn.Module, out: Mapping[str, nn.Module], covariates: Covariates) -> None:
        super().__init__()
        self.down, self.covariates = down, covariates
        self.out = cast(dict[str, Out], nn.ModuleDict({key(name): layer for name, layer in out.items()}))

    def encode(self, batch: CountBatch, design: Tensor, rng: torch.Generator | None) -> Encoded:
        """``(cells, n_stats)`` for the bottleneck, from transformed values."""
        return self.down(batch, self.covariates(design), rng)

    def decode(self, z: Tensor, design: Tensor, rng: torch.Generator | None) -> dict[str, Readout]:
        """The read-outs by name, from a latent ``(cells, n_latent)``."""
        return self.readouts(z, self.covariates(design), rng)

    @abstractmethod
    def readouts(self, z: Tensor, design: Tensor, rng: torch.Generator | None) -> dict[str, Readout]:
        """The same, from covariates as the layers take them."""

    def code_columns(self) -> Tensor:
        """``(width, n_latent)``, the matrix by which the code first enters the decoder; of several read-outs the mean's.

        Raises
        ------
        ConfigError
            If the network has no such matrix.
        """
        raise ConfigError(
            f"{type(self).__name__} has no matrix whose columns could have norm one, which this bottleneck wants. "
            "Take another network, such as 'mlp' or 'linear'."
        )

    def borrow_encoder(self, other: Coder) -> Coder:
        """This coder with another's encoder and covariates, whose weights stay the other's, in place of its own."""
        for name in ("down", "covariates"):
            delattr(self, name)
            object.__setattr__(self, name, getattr(other, name))  # not registered here: saved, moved and trained once
        return self

    def start(self, biases: Mapping[str, Tensor]) -> None:
        """Set the bias ``(genes,)`` of some read-outs."""
        for name, bias in biases.items():
            self.out[key(name)].bias.data.copy_(bias)


class Network(ABC):
    """An architecture."""

    needs_order: bool = False  # the features' place along the genome is wanted: ``DataSpec.order``
    n_decoders: int = 1  # each decodes a draw of its own; losses and means are averaged over them

    @abstractmethod
    def build(self, n_stats: int, n_latent: int, readouts: tuple[str, ...], data: DataSpec, rng: torch.Generator) -> Coder:
        """Fresh weights drawn from ``rng``; the first read-out is the mean's."""


@dataclass(frozen=True)
class Ends:
    """What a network has to fit in between: :meth:`Network.build`'s arguments in one hand."""

    n_stats: int
    n_latent: int
    readouts: tuple[str, ...]
    data: DataSpec
    rng: torch.Generator


class Covariates(nn.Module):
    """The columns in which covariates reach the layers: one-hot levels, or a learned vector of each level.

    Parameters
    ----------
    data
        The covariates and their levels.
    size
        Length of the vectors; 0 leaves the levels one-hot.
    rng
        The vectors start as standard normal draws.
    """

    def __init__(self, data: DataSpec, size: int, rng: torch.Generator) -> None:
        super().__init__()
        self.levels = [len(levels) for _, levels in data.categorical] if size else []
        drawn = (torch.randn(n, size, generator=rng, device=rng.device) for n in self.levels)
        self.vectors = cast(list[Tensor], nn.ParameterList(drawn))
        self.width = data.n_design + sum(size - n for n in self.levels)

    def forward(self, design: Tensor) -> Tensor:
        """``(cells, width)`` from :func:`design_matrix`."""
        if not self.levels:
            return design
        *hot, continuous = design.split([*self.levels, design.shape[1] - sum(self.levels)], dim=1)
        return torch.cat([h @ v for h, v in zip(hot, self.vectors, strict=True)] + [continuous], dim=1)


def design_matrix(batch: CountBatch, data: DataSpec) -> Tensor:
    """``(cells, n_design)``: one-hot categorical covariates, then the continuous ones."""
    hot = [nn.functional.one_hot(batch.covariates[:, i], len(levels)) for i, (_, levels) in enumerate(data.categorical)]
    return torch.cat([h.to(batch.library.dtype) for h in hot] + [batch.continuous], dim=1)


def key(name: str) -> str:
    """The name of a read-out's module: ModuleDict refuses names that modules have themselves, such as "type"."""
    return f"p_{name}"
