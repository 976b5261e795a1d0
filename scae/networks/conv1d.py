"""Convolutions along the genome."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from ..batch import CountBatch, DataSpec, Encoded
from ..errors import ConfigError
from ..layers import ACTIVATIONS, NORMS, Dense, Finish, Readout
from ..parts import option, part
from .base import Coder, Covariates, Network
from .genome import UPS, Axis, FirstConvolution, GenomeOut, Up


@part("network", "conv1d")
class Conv1d(Network):
    """Convolutions over features in genome order, each window inside one chromosome (Masci 2011).

    Features are ordered by ``var["chromosome"]`` and ``var["start"]``, or by names like ``chr1:100-200``; chromosomes are padded
    to whole windows. Every layer's stride is its kernel size, so that windows nest: with ``windows=(16, 4)`` sixteen neighbouring
    features make a window of the first map, four of those one of the second; a fully connected layer leads from the last map to
    the code. The first layer takes counts as CSR. The decoder goes the same way back, by transposed convolutions or by nearest
    upsampling and convolution, to a value, a bias and covariate effects for each feature.
    A model that is built without coordinates takes the features in the order given, as one chromosome.
    Masci et al. 2011, doi:10.1007/978-3-642-21735-7_7.

    Raises
    ------
    ConfigError
        If ``channels`` and ``windows`` do not have one entry a layer.

    Examples
    --------
    >>> Conv1d(channels=(8, 16, 32), windows=(16, 4, 4)).decoder
    'transposed'
    """

    needs_order = True

    channels: tuple[int, ...] = option("channels of each convolution", default=(16, 32), low=1)
    windows: tuple[int, ...] = option("kernel size, and stride, of each convolution", default=(16, 4), low=2)
    decoder: str = option("the way back to features", default="transposed", choices=tuple(UPS))
    activation: str = option("activation of the maps", default="relu", choices=tuple(ACTIVATIONS))
    norm: str = option(
        "norm of the maps over channels ('batch': cells depend on their batch-mates)", default="layer", choices=NORMS
    )
    dropout: float = option("share of the maps' entries dropped while training", default=0.0, low=0.0, high=0.95)
    covariate_embedding: int = option(
        "length of the vector learned for each level of a categorical covariate (0: one-hot columns)", default=0, low=0
    )

    def __post_init__(self) -> None:
        if len(self.channels) != len(self.windows) or not self.channels:
            raise ConfigError(
                f"network 'conv1d': channels {self.channels} and windows {self.windows} are not of one length; "
                "allowed: one entry of each for every convolution, at least one."
            )

    def build(self, n_stats: int, n_latent: int, readouts: tuple[str, ...], data: DataSpec, rng: torch.Generator) -> Coder:
        axis = Axis.of(data, math.prod(self.windows), rng.device)
        covariates = Covariates(data, self.covariate_embedding, rng)
        down = ConvolutionLadder(self, axis, n_stats, covariates.width, rng)
        deepest = Dense(n_latent, down.n_flat, covariates.width, rng)
        up: list[Up] = []
        for i in range(len(self.windows) - 1, 0, -1):
            up.append(self._up(axis, i, self.channels[i - 1], rng))
        out = {name: GenomeOut(axis, self._up(axis, 0, 1, rng), covariates.width, rng) for name in readouts}
        return ConvolutionCoder(down, deepest, up, self.finishes()[::-1], out, covariates)

    def _up(self, axis: Axis, i: int, n_out: int, rng: torch.Generator) -> Up:
        """The step up from the map of the ``i``-th convolution."""
        begins = axis.begins(math.prod(self.windows[: i + 1]))
        return UPS[self.decoder](begins, self.channels[i], n_out, self.windows[i], rng)

    def finishes(self) -> list[Finish]:
        """What follows each map, from the features on."""
        return [Finish(c, self.norm, self.activation, self.dropout) for c in self.channels]


class ConvolutionLadder(nn.Module):
    """The encoder: maps of wider and wider windows, then all of the last one at once."""

    def __init__(self, network: Conv1d, axis: Axis, n_stats: int, n_design: int, rng: torch.Generator) -> None:
        super().__init__()
        windows, channels = network.windows, network.channels
        self.first = FirstConvolution(axis, windows[0], channels[0], n_design, rng)
        steps = zip(windows[1:], channels, channels[1:], strict=False)
        self.deeper = cast(list[Dense], nn.ModuleList(Dense(size * a, b, 0, rng) for size, a, b in steps))
        self.finishes = cast(list[Finish], nn.ModuleList(network.finishes()))
        self.channels, self.n_flat = channels[-1], len(axis.first) * channels[-1]
        self.last = Dense(self.n_flat, n_stats, n_design, rng)

    def forward(self, batch: CountBatch, design: Tensor, rng: torch.Generator | None) -> Encoded:
        first = self.first(batch, design, rng)  # (cells, windows · channels)
        return Encoded(self.rest(first, design, rng), first, lambda x: self.rest(x, design, rng), self.first.jacobian_sq)

    def rest(self, x: Tensor, design: Tensor, rng: torch.Generator | None) -> Tensor:
        """``(cells, n_stats)`` from what the first layer gave; another number of cells has no covariates."""
        cells = len(x)
        design = design if len(design) == cells else design.new_zeros(cells, design.shape[1])
        x = self.finishes[0](x.reshape(-1, len(self.first.bias)), rng)  # (cells · windows, channels)
        for layer, finish in zip(self.deeper, self.finishes[1:], strict=True):
            x = finish(layer(x.view(-1, layer.weight.shape[1]), design), rng)  # fewer windows, other channels
        return self.last(x.view(cells, self.n_flat), design)


class ConvolutionCoder(Coder):
    """The decoder: from the map of the widest windows to single features."""

    out: dict[str, GenomeOut]  # type: ignore[assignment]

    def __init__(
        self, down: ConvolutionLadder, deepest: Dense, up: list[Up], finishes: list[Finish], out: Mapping[str, GenomeOut],
        covariates: Covariates,
    ) -> None:  # fmt: skip
        super().__init__(down, out, covariates)
        self.deepest, self.channels = deepest, down.channels
        self.up = cast(list[Up], nn.ModuleList(up))
        self.biases = cast(list[Tensor], nn.ParameterList(torch.zeros(u.n_out, device=deepest.bias.device) for u in up))
        self.finishes = cast(list[Finish], nn.ModuleList(finishes))

    def code_columns(self) -> Tensor:
        return self.deepest.weight

    def readouts(self, z: Tensor, design: Tensor, rng: torch.Generator | None) -> dict[str, Readout]:
        x = self.deepest(z, design).view(-1, self.channels)  # (cells · windows, channels)
        x = self.finishes[0](x, rng)
        for layer, bias, finish in zip(self.up, self.biases, self.finishes[1:], strict=True):
            x = finish(layer(x, len(z)) + bias, rng)  # more windows, other channels
        return {name[2:]: layer.readout(x, design) for name, layer in self.out.items()}
