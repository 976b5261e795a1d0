"""Fully connected encoders and decoders, which several networks share."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from ..layers import Dense, FirstLayer, NormActDrop
from .base import Decoder, Encoder, Ends

Block = Callable[[int], NormActDrop]  # what follows a hidden layer of a width


class FeedForwardEncoder(Encoder):
    """Fully connected layers from sparse counts to the numbers that a bottleneck asks for.

    Parameters
    ----------
    n_genes, n_stats
        Size of input and output.
    n_design
        Columns of covariates that join at every layer; 0 for none.
    widths
        Widths of the hidden layers.
    block
        What follows a hidden layer.
    rng
        Where initial weights are drawn.
    residual
        Hidden layers as wide as the one before add to it.
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
    """Fully connected layers from the latent to one read-out layer per parameter.

    Parameters
    ----------
    ends
        What is connected.
    widths
        Widths of the hidden layers, from the latent on.
    block
        What follows a hidden layer.
    readout_covariates
        Covariates also enter the read-out layers.
    residual
        Hidden layers as wide as the one before add to it.
    nonnegative
        Gene loadings of the mean's read-out are not negative.
    """

    def __init__(
        self, ends: Ends, widths: tuple[int, ...], block: Block, *, readout_covariates: bool = True, residual: bool = False,
        nonnegative: bool = False,
    ) -> None:  # fmt: skip
        steps, n_design = (ends.n_latent, *widths), ends.n_design
        up = [Dense(a, b, n_design, ends.rng) for a, b in pairwise(steps)]
        n_out = n_design if readout_covariates else 0
        super().__init__({name: Dense(steps[-1], ends.data.n_genes, n_out, ends.rng) for name in ends.readouts})
        self.mean, self.residual, self.nonnegative = ends.readouts[0], residual, nonnegative
        self.blocks = cast(list[NormActDrop], nn.ModuleList(block(width) for width in widths))
        self.up = cast(list[Dense], nn.ModuleList(up))

    def loadings(self) -> Tensor:
        """``(genes, width)``: the weights of the mean's read-out layer."""
        weight = self.readouts[self.mean].weight
        return weight.abs() if self.nonnegative else weight

    def latent_weights(self) -> Tensor:
        return self.up[0].weight if len(self.up) else self.loadings()

    def forward(self, z: Tensor, design: Tensor | None, rng: torch.Generator | None) -> dict[str, Tensor]:
        for i, (layer, block) in enumerate(zip(self.up, self.blocks, strict=True)):
            out = block(layer(z, design), rng)  # (cells, width)
            z = out + z if self.residual and i and out.shape == z.shape else out
        own = {self.mean: self.loadings()}
        return {name: layer(z, design, weight=own.get(name)) for name, layer in self.readouts.items()}  # (cells, genes) each
