"""A decoder that shares its weights with the encoder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..layers import ACTIVATIONS, NORMS, Dense, NormActDrop
from ..parts import option, part
from .base import Decoder, Encoder, Ends, Network
from .feedforward import FeedForwardEncoder


@part("network", "tied")
class Tied(Network):
    """The decoder's weights are the encoder's, transposed (Vincent 2010); without hidden layers: linear and tied.

    Raises
    ------
    ConfigError
        If ``tied_layers`` is more than there are layers.

    Examples
    --------
    >>> Tied(hidden=(64,), tied_layers=1).tied_layers  # the gene loadings are shared, the layer at the latent is not
    1
    """

    hidden: tuple[int, ...] = option("widths of the hidden layers", default=(128,), low=1)
    activation: str = option("activation of hidden layers", default="relu", choices=tuple(ACTIVATIONS))
    norm: str = option(
        "norm of hidden layers ('batch': a cell depends on the others in its minibatch)", default="layer", choices=NORMS
    )
    dropout: float = option("share of hidden units dropped in training", default=0.0, low=0.0, high=0.95)
    tied_layers: int | None = option("layers that share weights, counted from the genes (none: all)", default=None, low=1)

    def __post_init__(self) -> None:
        layers = len(self.hidden) + 1
        if self.tied_layers is not None and self.tied_layers > layers:
            raise ConfigError(
                f"network 'tied': tied_layers is {self.tied_layers}, but hidden {self.hidden} makes {layers} "
                f"layer{'s' * (layers > 1)}; allowed: 1 to {layers}, or None for all."
            )

    def encoder(self, ends: Ends) -> Encoder:
        return FeedForwardEncoder(ends.data.n_genes, ends.n_stats, ends.n_design, self.hidden, self._block, ends.rng)

    def decoder(self, ends: Ends, encoder: Encoder) -> Decoder:
        tied = len(self.hidden) + 1 if self.tied_layers is None else self.tied_layers
        matrices = partial(decoder_matrices, cast(FeedForwardEncoder, encoder), ends.n_latent)
        return TiedDecoder(ends, self.hidden, tied, matrices, [self._block(width) for width in self.hidden[::-1]])

    def _block(self, width: int) -> NormActDrop:
        return NormActDrop(width, self.norm, self.activation, self.dropout)


def decoder_matrices(encoder: FeedForwardEncoder, n_latent: int) -> list[Tensor]:
    """An encoder's weight matrices as its decoder uses them, ``(out, in)`` each, from the genes on."""
    down = [encoder.first.weight] + [layer.weight.T for layer in encoder.deeper]
    return [*down[:-1], down[-1][:, :n_latent]]  # the bottleneck may get more numbers than the latent


class TiedDecoder(Decoder):
    """An encoder read backwards: weight matrices are used twice, biases are the decoder's own.

    Parameters
    ----------
    ends
        What is connected.
    hidden
        Widths of the encoder's hidden layers.
    tied
        How many layers share weights, counted from the genes.
    matrices
        The encoder's matrices, asked for at each use since they change in training.
    blocks
        What follows the hidden layers, from the latent on.
    """

    def __init__(
        self, ends: Ends, hidden: tuple[int, ...], tied: int, matrices: Callable[[], list[Tensor]], blocks: list[NormActDrop]
    ) -> None:
        widths = (*hidden, ends.n_latent)  # from the genes on; a layer that is tied has no weight of its own
        up = [Dense(widths[i] if i >= tied else 0, widths[i - 1], 0, ends.rng) for i in range(1, len(widths))]
        super().__init__(
            {
                name: Dense(widths[0] if i else 0, ends.data.n_genes, ends.n_design, ends.rng)
                for i, name in enumerate(ends.readouts)
            }
        )
        self.matrices, self.mean = matrices, ends.readouts[0]
        self.up = cast(list[Dense], nn.ModuleList(up[::-1]))
        self.blocks = cast(list[NormActDrop], nn.ModuleList(blocks))

    def weights(self) -> list[Tensor]:
        """The decoder's matrices from the genes on, ``(out, in)`` each."""
        first, *deeper = self.matrices()
        own = [layer.weight for layer in reversed(self.up)]
        return [first] + [mine if mine.shape[1] else shared for shared, mine in zip(deeper, own, strict=True)]

    def latent_weights(self) -> Tensor:
        return self.weights()[-1]

    def forward(self, z: Tensor, design: Tensor | None, rng: torch.Generator | None) -> dict[str, Tensor]:
        weights = self.weights()
        for layer, weight, block in zip(self.up, weights[:0:-1], self.blocks, strict=True):
            z = block(layer(z, design, weight=weight), rng)  # (cells, width)
        tied = {self.mean: weights[0]}  # (genes, width)
        return {name: layer(z, design, weight=tied.get(name)) for name, layer in self.readouts.items()}  # (cells, genes) each
