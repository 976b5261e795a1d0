"""A decoder that shares its weights with the encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from ..batch import DataSpec
from ..errors import ConfigError
from ..layers import ACTIVATIONS, NORMS, Dense, Finish, Ladder, Readout
from ..parts import option, part
from .base import Coder, Covariates, Network, key


@part("network", "tied")
class Tied(Network):
    """The decoder's weights are the encoder's, transposed (Vincent 2010); without hidden layers: linear and tied.

    Examples
    --------
    >>> Tied(hidden=(64,), tied_layers=1).tied_layers  # the gene loadings are shared, the layer at the code is not
    1
    """

    hidden: tuple[int, ...] = option("widths of the hidden layers", default=(128,), low=1)
    activation: str = option("activation of hidden layers", default="relu", choices=tuple(ACTIVATIONS))
    norm: str = option("norm of hidden layers ('batch': cells depend on their batch-mates)", default="layer", choices=NORMS)
    dropout: float = option("share of hidden units dropped while training", default=0.0, low=0.0, high=0.95)
    tied_layers: int | None = option("layers that share weights, counted from the genes (none: all)", default=None, low=1)

    def __post_init__(self) -> None:
        layers = len(self.hidden) + 1
        if self.tied_layers is not None and self.tied_layers > layers:
            raise ConfigError(
                f"network 'tied': tied_layers is {self.tied_layers}, but hidden {self.hidden} makes {layers} "
                f"layer{'s' * (layers > 1)}; allowed: 1 to {layers}, or None for all."
            )

    def build(self, n_stats: int, n_latent: int, readouts: tuple[str, ...], data: DataSpec, rng: torch.Generator) -> Coder:
        def finishes() -> list[Finish]:
            return [Finish(w, self.norm, self.activation, self.dropout) for w in self.hidden]

        tied = len(self.hidden) + 1 if self.tied_layers is None else self.tied_layers
        down = Ladder(data.n_genes, n_stats, data.n_design, finishes(), self.hidden, rng)
        widths = (*self.hidden, n_latent)  # from the genes on
        up = [Dense(widths[i] if i >= tied else 0, widths[i - 1], 0, rng) for i in range(1, len(widths))]
        out = {name: Dense(widths[0] if i else 0, data.n_genes, data.n_design, rng) for i, name in enumerate(readouts)}
        return TiedFeedforward(down, n_latent, up[::-1], finishes()[::-1], out, Covariates(data, 0, rng))


class TiedFeedforward(Coder):
    """A decoder that is the encoder read backwards: tied weight matrices are used twice, biases are the decoder's own."""

    out: dict[str, Dense]  # type: ignore[assignment]
    down: Ladder

    def __init__(
        self,
        down: Ladder,
        n_latent: int,
        up: list[Dense],
        finishes: list[Finish],
        out: Mapping[str, Dense],
        covariates: Covariates,
    ) -> None:
        super().__init__(down, out, covariates)
        self.n_latent, self.main = n_latent, key(next(iter(out)))
        self.up = cast(list[Dense], nn.ModuleList(up))  # without weights where the encoder's are used
        self.finishes = cast(list[Finish], nn.ModuleList(finishes))

    def weights(self) -> list[Tensor]:
        """The decoder's matrices from the genes on, ``(out, in)`` each; of the numbers for the bottleneck, the code's only."""
        down = [self.down.first.weight] + [layer.weight.T for layer in self.down.deeper]
        down[-1] = down[-1][:, : self.n_latent]
        own = [layer.weight for layer in reversed(self.up)]
        return down[:1] + [mine if mine.shape[1] else shared for shared, mine in zip(down[1:], own, strict=True)]

    def code_columns(self) -> Tensor:
        return self.weights()[-1]

    def readouts(self, z: Tensor, design: Tensor, rng: torch.Generator | None) -> dict[str, Readout]:
        weights = self.weights()
        for layer, weight, finish in zip(self.up, weights[:0:-1], self.finishes, strict=True):
            z = finish(layer.readout(z, design, weight).full(), rng)  # (cells, width)
        tied = {self.main: weights[0]}  # (genes, width)
        return {name[2:]: layer.readout(z, design, tied.get(name)) for name, layer in self.out.items()}
