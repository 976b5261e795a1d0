"""Networks: encoder, decoder and read-outs of one architecture; covariates enter here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from .batch import CountBatch, DataSpec, Encoded
from .errors import ConfigError
from .layers import ACTIVATIONS, NORMS, Dense, Finish, Ladder, Readout
from .parts import option, part


class Coder(nn.Module, ABC):
    """The weights of a network, both directions."""

    def __init__(self, down: Ladder, finishes: list[Finish], out: Mapping[str, Dense]) -> None:
        super().__init__()
        self.down = down
        self.finishes = cast(list[Finish], nn.ModuleList(finishes))
        self.out = cast(dict[str, Dense], nn.ModuleDict({_key(name): layer for name, layer in out.items()}))

    def encode(self, batch: CountBatch, design: Tensor, rng: torch.Generator | None) -> Encoded:
        """``(cells, n_stats)`` for the bottleneck, from transformed values."""
        return self.down(batch, design, rng)

    @abstractmethod
    def decode(self, z: Tensor, design: Tensor, rng: torch.Generator | None) -> dict[str, Readout]:
        """The read-outs by name, from a latent ``(cells, n_latent)``."""

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

    def start(self, biases: Mapping[str, Tensor]) -> None:
        """Set the bias ``(genes,)`` of some read-outs."""
        for name, bias in biases.items():
            self.out[_key(name)].bias.data.copy_(bias)


class Network(ABC):
    """An architecture."""

    @abstractmethod
    def build(self, n_stats: int, n_latent: int, readouts: tuple[str, ...], data: DataSpec, rng: torch.Generator) -> Coder:
        """Fresh weights drawn from ``rng``; the first read-out is the mean's."""


def design_matrix(batch: CountBatch, data: DataSpec) -> Tensor:
    """``(cells, n_design)``: one-hot categorical covariates, then the continuous ones."""
    hot = [nn.functional.one_hot(batch.covariates[:, i], len(levels)) for i, (_, levels) in enumerate(data.categorical)]
    return torch.cat([h.to(batch.library.dtype) for h in hot] + [batch.continuous], dim=1)


def _key(name: str) -> str:
    return f"p_{name}"  # ModuleDict refuses names that modules have themselves, such as "type"


class Feedforward(Coder):
    """A decoder with weights of its own."""

    def __init__(self, down: Ladder, up: list[Dense], finishes: list[Finish], out: Mapping[str, Dense]) -> None:
        super().__init__(down, finishes, out)
        self.up = cast(list[Dense], nn.ModuleList(up))

    def decode(self, z: Tensor, design: Tensor, rng: torch.Generator | None) -> dict[str, Readout]:
        for layer, finish in zip(self.up, self.finishes, strict=True):
            z = finish(layer(z, design), rng)  # (cells, width)
        return {key[2:]: layer.readout(z, design) for key, layer in self.out.items()}

    def code_columns(self) -> Tensor:
        return (self.up[0] if len(self.up) else next(iter(self.out.values()))).weight


class TiedFeedforward(Coder):
    """A decoder that is the encoder read backwards: every weight matrix is used twice, biases are the decoder's own."""

    def __init__(self, down: Ladder, n_latent: int, finishes: list[Finish], out: Mapping[str, Dense]) -> None:
        super().__init__(down, finishes, out)
        self.n_latent, self.main = n_latent, next(iter(self.out))
        widths = [layer.weight.shape[1] for layer in reversed(down.deeper)]
        self.biases = cast(list[Tensor], nn.ParameterList(torch.zeros(w, device=down.first.weight.device) for w in widths))

    def decode(self, z: Tensor, design: Tensor, rng: torch.Generator | None) -> dict[str, Readout]:
        weights = [self.down.first.weight.T] + [layer.weight for layer in self.down.deeper]  # each (out, in)
        weights[-1] = weights[-1][: self.n_latent]  # of the numbers for the bottleneck, those that are the code
        for weight, bias, finish in zip(weights[:0:-1], self.biases, self.finishes, strict=True):
            z = finish(z @ weight + bias, rng)  # (cells, width)
        tied = {self.main: weights[0].T}  # (genes, width)
        return {key[2:]: layer.readout(z, design, tied.get(key)) for key, layer in self.out.items()}

    def code_columns(self) -> Tensor:
        last = self.down.deeper[-1].weight if len(self.down.deeper) else self.down.first.weight.T
        return last[: self.n_latent].T


def _feedforward(
    down: tuple[int, ...], up: tuple[int, ...], finish: Callable[[int], Finish], design: tuple[int, int, int],
    n_stats: int, n_latent: int, readouts: tuple[str, ...], data: DataSpec, rng: torch.Generator,
) -> Coder:  # fmt: skip
    """``design``: columns of the design matrix that enter the encoder, the decoder's hidden layers and the read-outs."""
    ladder = Ladder(data.n_genes, n_stats, design[0], [finish(w) for w in down], down, rng)
    layers = [Dense(a, b, design[1], rng) for a, b in zip((n_latent, *up), up, strict=False)]
    out = {name: Dense(up[-1] if up else n_latent, data.n_genes, design[2], rng) for name in readouts}
    return Feedforward(ladder, layers, [finish(w) for w in up], out)


@part("network", "linear")
class Linear(Network):
    """One linear map each way: with a Gaussian likelihood PCA, with counts a generalised PCA."""

    def build(self, n_stats: int, n_latent: int, readouts: tuple[str, ...], data: DataSpec, rng: torch.Generator) -> Coder:
        c = data.n_design
        return _feedforward((), (), _no_hidden, (c, c, c), n_stats, n_latent, readouts, data, rng)


def _no_hidden(width: int) -> Finish:
    raise AssertionError(f"a linear network has no hidden layer (width {width})")


@part("network", "mlp")
class MLP(Network):
    """Fully connected layers; covariates join at every hidden layer."""

    hidden: tuple[int, ...] = option("widths of the encoder's hidden layers", default=(128,), low=1)
    decoder_hidden: tuple[int, ...] | None = option(
        "widths of the decoder's hidden layers (none: the encoder's mirrored)", default=None, low=1
    )
    activation: str = option("activation of hidden layers", default="relu", choices=tuple(ACTIVATIONS))
    norm: str = option("norm of hidden layers ('batch': cells depend on their batch-mates)", default="layer", choices=NORMS)
    dropout: float = option("share of hidden units dropped while training", default=0.0, low=0.0, high=0.95)
    encode_covariates: bool = option("covariates also enter the encoder", default=True)
    readout_covariates: bool = option("covariates also shift each gene's read-out", default=True)

    def build(self, n_stats: int, n_latent: int, readouts: tuple[str, ...], data: DataSpec, rng: torch.Generator) -> Coder:
        def finish(width: int) -> Finish:
            return Finish(width, self.norm, self.activation, self.dropout)

        up = self.hidden[::-1] if self.decoder_hidden is None else self.decoder_hidden
        c = data.n_design
        design = (c * self.encode_covariates, c, c * (self.readout_covariates or not up))
        return _feedforward(self.hidden, up, finish, design, n_stats, n_latent, readouts, data, rng)


@part("network", "tied")
class Tied(Network):
    """The decoder's weights are the encoder's, transposed (Vincent 2010); without hidden layers: linear and tied."""

    hidden: tuple[int, ...] = option("widths of the hidden layers", default=(128,), low=1)
    activation: str = option("activation of hidden layers", default="relu", choices=tuple(ACTIVATIONS))
    norm: str = option("norm of hidden layers ('batch': cells depend on their batch-mates)", default="layer", choices=NORMS)
    dropout: float = option("share of hidden units dropped while training", default=0.0, low=0.0, high=0.95)

    def build(self, n_stats: int, n_latent: int, readouts: tuple[str, ...], data: DataSpec, rng: torch.Generator) -> Coder:
        def finishes() -> list[Finish]:
            return [Finish(w, self.norm, self.activation, self.dropout) for w in self.hidden]

        down = Ladder(data.n_genes, n_stats, data.n_design, finishes(), self.hidden, rng)
        width = self.hidden[0] if self.hidden else n_latent
        out = {name: Dense(width if i else 0, data.n_genes, data.n_design, rng) for i, name in enumerate(readouts)}
        return TiedFeedforward(down, n_latent, finishes()[::-1], out)
