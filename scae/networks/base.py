"""Base classes of networks: encoder, decoder, and the covariates' design matrix."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..keys import DataSpec
from ..layers import Dense, FirstLayer, Named, NormActDrop, computed
from ..records import Affine, Cells, Encoded, EncoderInput


@dataclass(frozen=True)
class Ends:
    """Sizes and names of a network's inputs and outputs.

    Attributes
    ----------
    n_stats
        Number of outputs of the encoder per cell, see :attr:`scae.bottlenecks.Bottleneck.n_stats`.
    n_latent
        Size of the latent.
    readouts
        Names of the likelihood's parameters that the decoder computes per cell and gene, the mean's first.
    data
        Genes and covariates of the model.
    n_design
        Number of columns of the covariates' design matrix.
    rng
        Source of the initial weights; also their device.
    """

    n_stats: int
    n_latent: int
    readouts: tuple[str, ...]
    data: DataSpec
    n_design: int
    rng: torch.Generator


class First(Protocol):
    """The first layer of an encoder, which takes sparse counts."""

    def __call__(self, seen: EncoderInput, design: Tensor | None, rng: torch.Generator | None) -> Tensor: ...

    def jacobian_sq(self, u: Tensor) -> Tensor: ...


class Encoder(nn.Module, ABC):
    """Weights of an encoder, from counts to the bottleneck's input; ``first`` is the layer that takes sparse counts."""

    first: First

    def forward(self, seen: EncoderInput, design: Tensor | None, rng: torch.Generator | None) -> Encoded:
        """Encode some cells.

        Parameters
        ----------
        seen
            The encoder's input.
        design
            ``(cells, n_design)``, covariates; None sets them to zero.
        rng
            Source of dropout and noise; None switches both off.

        Returns
        -------
        Encoded
            The bottleneck's input.
        """
        first = self.first(seen, design, rng)  # (cells, width)
        stats = self.rest(first, design, rng)  # (cells, n_stats)
        return Encoded(stats, first, design, lambda x, d: self.rest(x, d, rng), self.first.jacobian_sq)

    @abstractmethod
    def rest(self, first: Tensor, design: Tensor | None, rng: torch.Generator | None) -> Tensor:
        """``(cells, n_stats)`` from the first layer's output ``(cells, width)``; ``design`` None sets covariates to zero."""


class Decoder(nn.Module, ABC):
    """Weights of a decoder, from the latent to the likelihood's parameters; ``readouts`` are its last layers by name."""

    def __init__(self, readouts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.readouts = Named(readouts)

    @abstractmethod
    def forward(self, z: Tensor, design: Tensor | None, rng: torch.Generator | None) -> dict[str, Tensor]:
        """Raw parameters by name, ``(cells, genes)`` each, of a latent.

        Parameters
        ----------
        z
            ``(cells, n_latent)``.
        design
            ``(cells, n_design)``, covariates; None sets them to zero.
        rng
            Source of dropout; None switches it off.
        """

    def readouts_of(self, z: Tensor, design: Tensor | None, rng: torch.Generator | None) -> Mapping[str, Tensor | Affine]:
        """As :meth:`forward`, but read-outs that are linear in a hidden layer may be left to be computed by who needs them."""
        return self(z, design, rng)

    def latent_weights(self) -> Tensor:
        """The decoder's first weight matrix ``(width, n_latent)``; without hidden layers, the mean's read-out weights.

        Raises
        ------
        ConfigError
            If the decoder has no such matrix.
        """
        raise ConfigError(
            f"{type(self).__name__} has no weight matrix whose columns can be scaled to norm one, as this bottleneck requires. "
            "Use another network, such as 'mlp' or 'linear'."
        )

    def start(self, biases: Mapping[str, Tensor]) -> None:
        """Set the biases ``(genes,)`` of read-out layers by name."""
        for name, bias in biases.items():
            self.readouts[name].bias.data.copy_(bias)


class Network(ABC):
    """An architecture: a value that creates encoders and decoders."""

    n_decoders: int = 1  # each decodes its own draw of the latent; losses and means are averaged
    solves: bool = False  # whether :meth:`solve` gives the weights before the first step, so that a plan may take none
    covariate_embedding: int = 0  # length of the vector learned per level of a categorical covariate; 0: one-hot

    @abstractmethod
    def encoder(self, ends: Ends) -> Encoder:
        """A new encoder."""

    @abstractmethod
    def decoder(self, ends: Ends, encoder: Encoder) -> Decoder:
        """A new decoder, which may share the weights of ``encoder``."""

    def check(self, likelihood: Any, bottleneck: Any) -> None:  # noqa: B027
        """Raise ``ConfigError`` for parts with which this network makes no model."""

    def solve(self, encoder: Encoder, decoder: Decoder, seen: EncoderInput, design: Tensor | None, seed: int) -> Tensor:
        """Solve for the weights, where ``solves``, after biases and the input's scale have their starting values.

        Parameters
        ----------
        encoder, decoder
            What this network made.
        seen
            All training cells, as the encoder sees them.
        design
            ``(cells, n_design)``, covariates; None without any.
        seed
            Seed of whatever is drawn.

        Returns
        -------
        Tensor
            ``(genes,)``, mean squared difference between ``seen`` and what the decoder makes of it.
        """
        raise NotImplementedError(f"{self} is not solved for")


class Covariates(nn.Module):
    """The covariates' design matrix: one-hot columns or a learned vector per level of each categorical, then the continuous ones.

    Parameters
    ----------
    data
        The covariates and their levels.
    size
        Length of the learned vectors; 0 for one-hot columns.
    rng
        Source of the initial vectors, standard normal draws.
    """

    def __init__(self, data: DataSpec, size: int, rng: torch.Generator) -> None:
        super().__init__()
        self.n_levels = [len(levels) for levels in data.levels]
        drawn = (torch.randn(n, size, generator=rng, device=rng.device) for n in self.n_levels if size)
        self.vectors = cast(list[Tensor], nn.ParameterList(drawn))
        self.width = (len(self.n_levels) * size if size else sum(self.n_levels)) + len(data.moments)

    def forward(self, cells: Cells) -> Tensor | None:
        """``(cells, width)``: batch, other categorical covariates, continuous covariates; None if there are none."""
        if not self.width:
            return None
        codes = [*([] if cells.batch is None else [cells.batch]), *cells.covariates.T]
        hot = [nn.functional.one_hot(c, n).to(cells.library.dtype) for c, n in zip(codes, self.n_levels, strict=True)]
        if self.vectors:
            hot = [h @ v for h, v in zip(hot, self.vectors, strict=True)]
        return torch.cat([*hot, cells.continuous], dim=1)


# ---- fully connected encoders and decoders, which several networks share

Block = Callable[[int], NormActDrop]  # width → norm, activation and dropout after a hidden layer


class FeedForwardEncoder(Encoder):
    """Fully connected layers from sparse counts to the bottleneck's input.

    Parameters
    ----------
    n_genes, n_stats
        Sizes of input and output.
    n_design
        Number of covariate columns, an additional input of every layer; 0 for none.
    widths
        Widths of the hidden layers.
    block
        Makes norm, activation and dropout after a hidden layer of a given width.
    rng
        Source of the initial weights.
    residual
        Add the previous hidden layer to each hidden layer of the same width.
    """

    def __init__(
        self, n_genes: int, n_stats: int, n_design: int, widths: tuple[int, ...], block: Block, rng: torch.Generator,
        *, residual: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.residual = residual
        steps = (*widths, n_stats)
        self.first: FirstLayer = FirstLayer(n_genes, steps[0], n_design, rng)
        self.deeper = cast(list[Dense], nn.ModuleList(Dense(a, b, n_design, rng) for a, b in pairwise(steps)))
        self.blocks = cast(list[NormActDrop], nn.ModuleList(block(width) for width in widths))

    def rest(self, first: Tensor, design: Tensor | None, rng: torch.Generator | None) -> Tensor:
        x, hidden = first, first.new_zeros(0)
        for block, layer in zip(self.blocks, self.deeper, strict=True):
            x = block(x, rng)
            hidden = x + hidden if self.residual and x.shape == hidden.shape else x
            x = layer(hidden, design)
        return x


class FeedForwardDecoder(Decoder):
    """Fully connected layers from the latent, then one read-out layer per parameter of the likelihood.

    Parameters
    ----------
    ends
        Sizes and names of inputs and outputs.
    widths
        Widths of the hidden layers, starting at the latent.
    block
        Makes norm, activation and dropout after a hidden layer of a given width.
    readout_covariates
        Covariates also enter the read-out layers.
    residual
        Add the previous hidden layer to each hidden layer of the same width.
    latent_block
        Norm, activation and dropout of the latent, before the first layer.
    nonnegative
        Use the absolute values of the mean's read-out weights, so that gene loadings are nonnegative.
    """

    def __init__(
        self, ends: Ends, widths: tuple[int, ...], block: Block, *, readout_covariates: bool = True, residual: bool = False,
        latent_block: bool = False, nonnegative: bool = False,
    ) -> None:  # fmt: skip
        steps, n_design = (ends.n_latent, *widths), ends.n_design
        up = [Dense(a, b, n_design, ends.rng) for a, b in pairwise(steps)]
        n_out = n_design if readout_covariates else 0
        super().__init__({name: Dense(steps[-1], ends.data.n_genes, n_out, ends.rng) for name in ends.readouts})
        self.mean, self.residual, self.nonnegative = ends.readouts[0], residual, nonnegative
        self.latent_block = block(ends.n_latent) if latent_block else None
        self.blocks = cast(list[NormActDrop], nn.ModuleList(block(width) for width in widths))
        self.up = cast(list[Dense], nn.ModuleList(up))

    def loadings(self) -> Tensor:
        """Gene loadings ``(genes, width)``: the weights of the mean's read-out layer."""
        weight = self.readouts[self.mean].weight
        return weight.abs() if self.nonnegative else weight

    def latent_weights(self) -> Tensor:
        if self.latent_block is not None:
            raise ConfigError("the latent passes a norm and an activation before it is decoded. Set latent_block to False.")
        return self.up[0].weight if len(self.up) else self.loadings()

    def forward(self, z: Tensor, design: Tensor | None, rng: torch.Generator | None) -> dict[str, Tensor]:
        return computed(self.readouts_of(z, design, rng))

    def readouts_of(self, z: Tensor, design: Tensor | None, rng: torch.Generator | None) -> dict[str, Affine]:
        z = z if self.latent_block is None else self.latent_block(z, rng)
        for i, (layer, block) in enumerate(zip(self.up, self.blocks, strict=True)):
            out = block(layer(z, design), rng)  # (cells, width)
            z = out + z if self.residual and i and out.shape == z.shape else out
        own = {self.mean: self.loadings()}
        return {name: layer.affine(z, design, weight=own.get(name)) for name, layer in self.readouts.items()}
