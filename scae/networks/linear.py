"""A linear encoder and a linear decoder."""

from __future__ import annotations

from ..layers import NormActDrop
from ..parts import option, part
from .base import Decoder, Encoder, Ends, FeedForwardDecoder, FeedForwardEncoder, Network


@part("network", "linear")
class Linear(Network):
    """Linear encoder and decoder: PCA with a Gaussian likelihood (Baldi & Hornik 1989), generalised PCA with counts."""

    nonnegative: bool = option("nonnegative gene loadings: a factor can only increase expression (Seninge 2021)", default=False)

    def encoder(self, ends: Ends) -> Encoder:
        return FeedForwardEncoder(ends.data.n_genes, ends.n_stats, ends.n_design, (), _no_hidden, ends.rng)

    def decoder(self, ends: Ends, encoder: Encoder) -> Decoder:
        return FeedForwardDecoder(ends, (), _no_hidden, nonnegative=self.nonnegative)


def _no_hidden(width: int) -> NormActDrop:
    raise AssertionError(f"a linear network has no hidden layer, but one of width {width} was requested")
