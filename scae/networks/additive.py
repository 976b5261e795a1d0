"""A decoder that is a sum of small networks, one per group of latent dimensions."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..layers import ACTIVATIONS, NORMS, Dense, NormActDrop, computed, uniform
from ..parts import option, part
from ..records import Affine
from .base import Decoder, Encoder, Ends, FeedForwardEncoder, Network


@part("network", "additive")
class Additive(Network):
    """Additive decoder: each latent dimension, or group of dimensions, contributes a separate term (Lachapelle 2023).

    The encoder is that of ``mlp``. The decoder is f(z) = bias + covariates + Σ f_g(z_g) before the link, where f_g is a small
    network that sees only the dimensions of group g. The effect of one group on a gene does not depend on the other groups, so
    each term can be inspected, plotted or left out. With ``term_hidden=()`` the terms are linear.
    Lachapelle et al., NeurIPS 2023, doi:10.48550/arXiv.2307.02598.

    Examples
    --------
    >>> Additive(term_hidden=(16, 16)).term_size
    1
    """

    hidden: tuple[int, ...] = option("widths of the encoder's hidden layers", default=(128,), low=1)
    term_hidden: tuple[int, ...] = option("widths of the hidden layers of each term", default=(8,), low=1)
    term_size: int = option("latent dimensions per term; must divide the size of the latent", default=1, low=1)
    activation: str = option("activation of hidden layers", default="relu", choices=tuple(ACTIVATIONS))
    norm: str = option("norm of the encoder's hidden layers", default="layer", choices=NORMS)
    dropout: float = option("share of the encoder's hidden units dropped in training", default=0.0, low=0.0, high=0.95)
    covariate_embedding: int = option(
        "length of the vector learned per level of a categorical covariate (0: one-hot columns)", default=0, low=0
    )

    def encoder(self, ends: Ends) -> Encoder:
        def block(width: int) -> NormActDrop:
            return NormActDrop(width, self.norm, self.activation, self.dropout)

        return FeedForwardEncoder(ends.data.n_genes, ends.n_stats, ends.n_design, self.hidden, block, ends.rng)

    def decoder(self, ends: Ends, encoder: Encoder) -> Decoder:
        if ends.n_latent % self.term_size:
            raise ConfigError(
                f"network 'additive': term_size is {self.term_size}, which does not divide the latent's {ends.n_latent} "
                "dimensions. Change term_size or the size of the latent."
            )
        # No norm: a norm over all terms would make each term depend on the others.
        return AdditiveDecoder(ends, (self.term_size, *self.term_hidden), NormActDrop(1, "none", self.activation, 0.0))


class Groups(nn.Module):
    """One linear layer per group of units; a group does not see the units of other groups."""

    def __init__(self, groups: int, n_in: int, n_out: int, rng: torch.Generator) -> None:
        super().__init__()
        self.weight = uniform((groups, n_in, n_out), n_in, rng)
        self.bias = uniform((groups, n_out), n_in, rng)  # at zero, all units of one input would have their kink at zero

    def forward(self, x: Tensor) -> Tensor:
        """``(cells, groups, n_out)`` from ``(cells, groups, n_in)``."""
        return torch.einsum("cgi,gio->cgo", x, self.weight) + self.bias


class AdditiveDecoder(Decoder):
    """One small network per group of latent dimensions, whose outputs are summed in the read-out layers.

    Parameters
    ----------
    ends
        Sizes and names of inputs and outputs.
    widths
        Latent dimensions per group, then widths of the hidden layers of each group.
    block
        Activation after each hidden layer.
    """

    def __init__(self, ends: Ends, widths: tuple[int, ...], block: NormActDrop) -> None:
        groups = ends.n_latent // widths[0]
        up = [Groups(groups, a, b, ends.rng) for a, b in pairwise(widths)]
        super().__init__({name: Dense(groups * widths[-1], ends.data.n_genes, ends.n_design, ends.rng) for name in ends.readouts})
        self.groups, self.block, self.mean = groups, block, ends.readouts[0]
        self.up = cast(list[Groups], nn.ModuleList(up))

    def latent_weights(self) -> Tensor:
        """The first layers' weights, without the zeros between a dimension and the units of other groups."""
        return self.up[0].weight.flatten(0, 1).T if len(self.up) else self._loadings()

    def forward(self, z: Tensor, design: Tensor | None, rng: torch.Generator | None) -> dict[str, Tensor]:
        return computed(self.readouts_of(z, design, rng))

    def readouts_of(self, z: Tensor, design: Tensor | None, rng: torch.Generator | None) -> dict[str, Affine]:
        hidden = self._hidden(z, rng).flatten(1)  # (cells, groups · width)
        return {name: layer.affine(hidden, design) for name, layer in self.readouts.items()}

    def terms(self, z: Tensor) -> Tensor:
        """Contribution of each group of latent dimensions to the mean's read-out, ``(cells, groups, genes)``."""
        weight = self._loadings()
        return torch.einsum("cgw,ngw->cgn", self._hidden(z, None), weight.view(len(weight), self.groups, -1))

    def _loadings(self) -> Tensor:
        return self.readouts[self.mean].weight  # (genes, groups · width)

    def _hidden(self, z: Tensor, rng: torch.Generator | None) -> Tensor:
        x = z.view(len(z), self.groups, -1)
        for layer in self.up:
            x = self.block(layer(x), rng)
        return x  # (cells, groups, width)
