"""Convolutions along the genome."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..layers import ACTIVATIONS, NORMS, Dense, NormActDrop
from ..parts import option, part
from .base import Decoder, Encoder, Ends, Network
from .genome import UPS, Axis, FirstConvolution, GenomeReadout, Up


@part("network", "conv1d", needs=("order",))
class Conv1d(Network):
    """Convolutions over features in genome order; no window spans two chromosomes (Masci 2011).

    Features are ordered by ``var["chromosome"]`` and ``var["start"]``, or by names such as ``chr1:100-200``. Chromosomes are
    padded to whole windows. Every layer's stride equals its kernel size, so windows nest: with ``windows=(16, 4)``, sixteen
    neighbouring features form a window of the first map, and four of those form a window of the second. A fully connected layer
    leads from the last map to the latent. The decoder mirrors the encoder, with transposed convolutions or with nearest-neighbour
    upsampling and convolution. Each feature has a bias and covariate effects of its own. A model built without coordinates uses
    the features in the given order, as one chromosome. Masci et al. 2011, doi:10.1007/978-3-642-21735-7_7.

    The windows of a genome track go through the model as cells do, and their bins as features: give all bins one chromosome, and
    windows a few bins wide, such as ``windows=(4, 4)``. A norm over channels takes away how high a window is, which is much of
    what a track tells; without a norm, use an activation that has a slope below zero.

    Raises
    ------
    ConfigError
        If ``channels`` and ``windows`` do not have one entry per layer.

    Examples
    --------
    >>> Conv1d(channels=(8, 16, 32), windows=(16, 4, 4)).upsampling
    'transposed'
    """

    channels: tuple[int, ...] = option("number of channels of each convolution", default=(16, 32), low=1)
    windows: tuple[int, ...] = option("kernel size and stride of each convolution", default=(16, 4), low=2)
    upsampling: str = option("how the decoder increases resolution", default="transposed", choices=tuple(UPS))
    activation: str = option("activation after each convolution", default="elu", choices=tuple(ACTIVATIONS))
    norm: str = option(
        "norm over channels ('batch': in training, a cell's output depends on its minibatch)", default="none", choices=NORMS
    )
    dropout: float = option("share of hidden units dropped in training", default=0.0, low=0.0, high=0.95)
    covariate_embedding: int = option(
        "length of the vector learned per level of a categorical covariate (0: one-hot columns)", default=0, low=0
    )

    def __post_init__(self) -> None:
        if len(self.channels) != len(self.windows) or not self.channels:
            raise ConfigError(
                f"network 'conv1d': channels is {self.channels} and windows is {self.windows}; "
                "allowed: tuples of equal length, one entry per convolution, at least one."
            )

    def axis(self, ends: Ends) -> Axis:
        """The genome axis of the features, padded to whole windows of the last map."""
        return Axis.of(ends.data, math.prod(self.windows), ends.rng.device)

    def encoder(self, ends: Ends) -> Encoder:
        return ConvolutionEncoder(self, self.axis(ends), ends)

    def decoder(self, ends: Ends, encoder: Encoder) -> Decoder:
        return ConvolutionDecoder(self, self.axis(ends), ends)

    def up(self, axis: Axis, i: int, n_out: int, rng: torch.Generator) -> Up:
        """The decoder's inverse of the ``i``-th convolution."""
        begins = axis.begins(math.prod(self.windows[: i + 1]))
        return UPS[self.upsampling](begins, self.channels[i], n_out, self.windows[i], rng)

    def blocks(self) -> list[NormActDrop]:
        """Norm, activation and dropout after each convolution, in the order of the encoder."""
        return [NormActDrop(c, self.norm, self.activation, self.dropout) for c in self.channels]


class ConvolutionEncoder(Encoder):
    """Convolutions with ever wider windows, then a fully connected layer."""

    def __init__(self, network: Conv1d, axis: Axis, ends: Ends) -> None:
        super().__init__()
        windows, channels, rng = network.windows, network.channels, ends.rng
        self.first: FirstConvolution = FirstConvolution(axis, windows[0], channels[0], ends.n_design, rng)
        steps = zip(windows[1:], channels, channels[1:], strict=False)
        self.deeper = cast(list[Dense], nn.ModuleList(Dense(size * a, b, 0, rng) for size, a, b in steps))
        self.blocks = cast(list[NormActDrop], nn.ModuleList(network.blocks()))
        self.last = Dense(axis.n_units * channels[-1], ends.n_stats, ends.n_design, rng)

    def rest(self, first: Tensor, design: Tensor | None, rng: torch.Generator | None) -> Tensor:
        x = self.blocks[0](first.reshape(-1, len(self.first.bias)), rng)  # (cells · windows, channels)
        for layer, block in zip(self.deeper, self.blocks[1:], strict=True):
            x = block(layer(x.view(-1, layer.weight.shape[1])), rng)  # fewer, wider windows
        return self.last(x.view(len(first), -1), design)


class ConvolutionDecoder(Decoder):
    """A fully connected layer to the widest windows, then up to single features."""

    def __init__(self, network: Conv1d, axis: Axis, ends: Ends) -> None:
        channels, rng = network.channels, ends.rng
        deepest = Dense(ends.n_latent, axis.n_units * channels[-1], ends.n_design, rng)
        up = [network.up(axis, i, channels[i - 1], rng) for i in range(len(channels) - 1, 0, -1)]
        super().__init__({name: GenomeReadout(axis, network.up(axis, 0, 1, rng), ends.n_design, rng) for name in ends.readouts})
        self.deepest, self.channels = deepest, channels[-1]
        self.up = cast(list[Up], nn.ModuleList(up))
        self.biases = cast(list[Tensor], nn.ParameterList(torch.zeros(u.n_out, device=rng.device) for u in up))
        self.blocks = cast(list[NormActDrop], nn.ModuleList(network.blocks()[::-1]))

    def latent_weights(self) -> Tensor:
        return self.deepest.weight

    def forward(self, z: Tensor, design: Tensor | None, rng: torch.Generator | None) -> dict[str, Tensor]:
        x = self.deepest(z, design).view(-1, self.channels)  # (cells · windows, channels)
        x = self.blocks[0](x, rng)
        for layer, bias, block in zip(self.up, self.biases, self.blocks[1:], strict=True):
            x = block(layer(x, len(z)) + bias, rng)  # more, narrower windows
        return {name: readout(x, len(z), design) for name, readout in self.readouts.items()}  # (cells, genes) each
