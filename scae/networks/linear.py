"""A linear map each way."""

from __future__ import annotations

import torch

from ..batch import DataSpec
from ..layers import Finish
from ..parts import option, part
from .base import Coder, Ends, Network
from .feedforward import Shape


@part("network", "linear")
class Linear(Network):
    """One linear map each way: with a Gaussian likelihood PCA (Baldi & Hornik 1989), with counts a generalised PCA."""

    nonnegative: bool = option("gene loadings from zero up, so that a factor only ever adds (Seninge 2021)", default=False)

    def build(self, n_stats: int, n_latent: int, readouts: tuple[str, ...], data: DataSpec, rng: torch.Generator) -> Coder:
        shape = Shape((), (), _no_hidden, nonnegative=self.nonnegative)
        return shape.build(Ends(n_stats, n_latent, readouts, data, rng))


def _no_hidden(width: int) -> Finish:
    raise AssertionError(f"a linear network has no hidden layer (width {width})")
