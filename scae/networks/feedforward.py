"""Fully connected coders: what the linear and the multilayer network have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from ..layers import Dense, Finish, Ladder, Readout
from .base import Coder, Covariates, Ends, key


@dataclass(frozen=True)
class Shape:
    """The layers between the ends.

    Attributes
    ----------
    down, up
        Widths of the encoder's and the decoder's hidden layers, each from its input on.
    finish
        What follows a hidden layer of a width.
    design
        Whether covariates enter the encoder, the decoder's hidden layers and the read-outs.
    embedding
        Length of the vector that stands for a covariate's level; 0 for one-hot columns.
    residual
        Hidden layers of one width add their input to their output.
    nonnegative
        The loadings of the mean's read-out are not negative.
    """

    down: tuple[int, ...]
    up: tuple[int, ...]
    finish: Callable[[int], Finish]
    design: tuple[bool, bool, bool] = (True, True, True)
    embedding: int = 0
    residual: bool = False
    nonnegative: bool = False

    def build(self, ends: Ends) -> Feedforward:
        """Fresh weights."""
        data, rng = ends.data, ends.rng
        covariates = Covariates(data, self.embedding, rng)
        enter, middle, leave = (covariates.width * use for use in self.design)
        finishes = [self.finish(w) for w in self.down]
        ladder = Ladder(data.n_genes, ends.n_stats, enter, finishes, self.down, rng, residual=self.residual)
        layers = [Dense(a, b, middle, rng) for a, b in zip((ends.n_latent, *self.up), self.up, strict=False)]
        last = self.up[-1] if self.up else ends.n_latent
        out = {name: Dense(last, data.n_genes, leave, rng) for name in ends.readouts}
        return Feedforward(self, ladder, layers, out, covariates)


class Feedforward(Coder):
    """A decoder with weights of its own."""

    out: dict[str, Dense]  # type: ignore[assignment]

    def __init__(self, shape: Shape, down: Ladder, up: list[Dense], out: Mapping[str, Dense], covariates: Covariates) -> None:
        super().__init__(down, out, covariates)
        self.residual, self.nonnegative = shape.residual, shape.nonnegative
        self.finishes = cast(list[Finish], nn.ModuleList(shape.finish(w) for w in shape.up))
        self.up = cast(list[Dense], nn.ModuleList(up))
        self.main = key(next(iter(out)))

    def loadings(self) -> Tensor:
        """``(genes, width)``: what a unit of each number before the mean's read-out adds to each gene there."""
        weight = self.out[self.main].weight
        return weight.abs() if self.nonnegative else weight

    def code_columns(self) -> Tensor:
        return self.up[0].weight if len(self.up) else self.loadings()

    def readouts(self, z: Tensor, design: Tensor, rng: torch.Generator | None) -> dict[str, Readout]:
        for i, (layer, finish) in enumerate(zip(self.up, self.finishes, strict=True)):
            out = finish(layer(z, design), rng)  # (cells, width)
            z = out + z if self.residual and i and out.shape == z.shape else out
        own = {self.main: self.loadings()}
        return {name[2:]: layer.readout(z, design, own.get(name)) for name, layer in self.out.items()}
