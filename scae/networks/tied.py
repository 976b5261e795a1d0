"""A decoder that shares the encoder's weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..layers import ACTIVATIONS, NORMS, Dense, NormActDrop, computed
from ..parts import option, part
from ..records import Affine
from .base import Decoder, Encoder, Ends, FeedForwardEncoder, Network


@part("network", "tied")
class Tied(Network):
    """Tied weights: the decoder uses the encoder's weight matrices, transposed (Vincent 2010). Linear with ``hidden=()``.

    Raises
    ------
    ConfigError
        If ``tied_layers`` exceeds the number of layers.

    Examples
    --------
    >>> Tied(hidden=(64,), tied_layers=1).tied_layers  # the gene loadings are shared, the layer next to the latent is not
    1
    """

    hidden: tuple[int, ...] = option("widths of the hidden layers", default=(128,), low=1)
    activation: str = option("activation of hidden layers", default="relu", choices=tuple(ACTIVATIONS))
    norm: str = option(
        "norm of hidden layers ('batch': in training, a cell's output depends on its minibatch)", default="layer", choices=NORMS
    )
    dropout: float = option("share of hidden units dropped in training", default=0.0, low=0.0, high=0.95)
    tied_layers: int | None = option("number of tied layers, counted from the genes (none: all)", default=None, low=1)

    def __post_init__(self) -> None:
        layers = len(self.hidden) + 1
        if self.tied_layers is not None and self.tied_layers > layers:
            raise ConfigError(
                f"network 'tied': tied_layers is {self.tied_layers}, but with hidden {self.hidden} there are {layers} "
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
    """An encoder's weight matrices as its decoder uses them, ``(out, in)`` each, starting at the genes."""
    down = [encoder.first.weight] + [layer.weight.T for layer in encoder.deeper]
    return [*down[:-1], down[-1][:, :n_latent]]  # the encoder may have more outputs than the latent has dimensions


class TiedDecoder(Decoder):
    """The encoder in reverse: weight matrices are shared with the encoder, biases are not.

    Parameters
    ----------
    ends
        Sizes and names of inputs and outputs.
    hidden
        Widths of the encoder's hidden layers.
    tied
        Number of layers that share weights, counted from the genes.
    matrices
        Returns the encoder's current matrices, which change in training.
    blocks
        Norm, activation and dropout after each hidden layer, starting at the latent.
    """

    def __init__(
        self, ends: Ends, hidden: tuple[int, ...], tied: int, matrices: Callable[[], list[Tensor]], blocks: list[NormActDrop]
    ) -> None:
        widths = (*hidden, ends.n_latent)  # starting at the genes; a tied layer has no weight of its own
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
        """The decoder's matrices, ``(out, in)`` each, starting at the genes."""
        first, *deeper = self.matrices()
        own = [layer.weight for layer in reversed(self.up)]
        return [first] + [free if free.shape[1] else shared for shared, free in zip(deeper, own, strict=True)]

    def latent_weights(self) -> Tensor:
        return self.weights()[-1]

    def forward(self, z: Tensor, design: Tensor | None, rng: torch.Generator | None) -> dict[str, Tensor]:
        return computed(self.readouts_of(z, design, rng))

    def readouts_of(self, z: Tensor, design: Tensor | None, rng: torch.Generator | None) -> dict[str, Affine]:
        weights = self.weights()
        for layer, weight, block in zip(self.up, weights[:0:-1], self.blocks, strict=True):
            z = block(layer(z, design, weight=weight), rng)  # (cells, width)
        tied = {self.mean: weights[0]}  # (genes, width)
        return {name: layer.affine(z, design, weight=tied.get(name)) for name, layer in self.readouts.items()}
