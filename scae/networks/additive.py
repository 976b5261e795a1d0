"""A decoder that is a sum of small ones."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from ..batch import DataSpec
from ..errors import ConfigError
from ..layers import ACTIVATIONS, NORMS, Dense, Finish, Ladder, Readout, uniform
from ..parts import option, part
from .base import Coder, Covariates, Network, key


@part("network", "additive")
class Additive(Network):
    """Each latent dimension, or group of them, adds a term of its own before the link (Lachapelle 2023).

    The encoder is that of ``mlp``. The decoder is f(z) = bias + covariates + Σ f_g(z_g), each f_g a small network of its
    group alone: what one group does to a gene's read-out does not depend on the others, so that a term can be read, drawn
    and left out. With ``term_hidden=()`` the terms are linear. Lachapelle et al., NeurIPS 2023, doi:10.48550/arXiv.2307.02598.

    Examples
    --------
    >>> Additive(term_hidden=(16, 16)).term_size
    1
    """

    hidden: tuple[int, ...] = option("widths of the encoder's hidden layers", default=(128,), low=1)
    term_hidden: tuple[int, ...] = option("widths of the hidden layers of each term's decoder", default=(8,), low=1)
    term_size: int = option("latent dimensions in a term; divides the latent's size", default=1, low=1)
    activation: str = option("activation of hidden layers", default="relu", choices=tuple(ACTIVATIONS))
    norm: str = option("norm of the encoder's hidden layers", default="layer", choices=NORMS)
    dropout: float = option("share of the encoder's hidden units dropped while training", default=0.0, low=0.0, high=0.95)
    covariate_embedding: int = option(
        "length of the vector learned for each level of a categorical covariate (0: one-hot columns)", default=0, low=0
    )

    def build(self, n_stats: int, n_latent: int, readouts: tuple[str, ...], data: DataSpec, rng: torch.Generator) -> Coder:
        if n_latent % self.term_size:
            raise ConfigError(
                f"network 'additive': term_size is {self.term_size}, which does not divide the latent's {n_latent} dimensions. "
                "Change one of the two."
            )
        terms = n_latent // self.term_size
        covariates = Covariates(data, self.covariate_embedding, rng)
        finishes = [Finish(w, self.norm, self.activation, self.dropout) for w in self.hidden]
        down = Ladder(data.n_genes, n_stats, covariates.width, finishes, self.hidden, rng)
        widths = (self.term_size, *self.term_hidden)
        up = [Blocks(terms, a, b, rng) for a, b in pairwise(widths)]
        out = {name: Dense(terms * widths[-1], data.n_genes, covariates.width, rng) for name in readouts}
        # Without a norm: one over all terms would let a term hear of the others.
        return AdditiveCoder(terms, down, up, Finish(1, "none", self.activation, 0.0), out, covariates)


class Blocks(nn.Module):
    """A linear layer for each of some groups of units, none of which sees another's."""

    def __init__(self, groups: int, n_in: int, n_out: int, rng: torch.Generator) -> None:
        super().__init__()
        self.weight = uniform((groups, n_in, n_out), n_in, rng)
        self.bias = uniform((groups, n_out), n_in, rng)  # not zero: kinks of one number would all lie at zero

    def forward(self, x: Tensor) -> Tensor:
        """``(cells, groups, n_out)`` from ``(cells, groups, n_in)``."""
        return torch.einsum("cgi,gio->cgo", x, self.weight) + self.bias


class AdditiveCoder(Coder):
    """The terms stay apart up to the read-outs, which add them."""

    out: dict[str, Dense]  # type: ignore[assignment]

    def __init__(
        self, groups: int, down: Ladder, up: list[Blocks], finish: Finish, out: Mapping[str, Dense], covariates: Covariates
    ) -> None:
        super().__init__(down, out, covariates)
        self.groups, self.finish, self.main = groups, finish, key(next(iter(out)))
        self.up = cast(list[Blocks], nn.ModuleList(up))

    def code_columns(self) -> Tensor:
        """Without the zeros at which a dimension does not meet the other terms' units."""
        return self.up[0].weight.flatten(0, 1).T if len(self.up) else self.out[self.main].weight

    def readouts(self, z: Tensor, design: Tensor, rng: torch.Generator | None) -> dict[str, Readout]:
        hidden = self._hidden(z, rng).flatten(1)  # (cells, groups · width)
        return {name[2:]: layer.readout(hidden, design) for name, layer in self.out.items()}

    def terms(self, z: Tensor) -> Tensor:
        """``(cells, groups, genes)``: what each group of latent dimensions adds to the mean's read-out."""
        weight = self.out[self.main].weight  # (genes, groups · width)
        return torch.einsum("cgw,ngw->cgn", self._hidden(z, None), weight.view(len(weight), self.groups, -1))

    def _hidden(self, z: Tensor, rng: torch.Generator | None) -> Tensor:
        x = z.view(len(z), self.groups, -1)
        for layer in self.up:
            x = self.finish(layer(x), rng)
        return x  # (cells, groups, width)
