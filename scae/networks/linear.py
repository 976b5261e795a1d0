"""A linear map each way."""

from __future__ import annotations

from ..layers import NormActDrop
from ..parts import option, part
from .base import Decoder, Encoder, Ends, Network
from .feedforward import FeedForwardDecoder, FeedForwardEncoder


@part("network", "linear")
class Linear(Network):
    """One linear map each way: with a Gaussian likelihood PCA (Baldi & Hornik 1989), with counts a generalised PCA."""

    nonnegative: bool = option("gene loadings are not negative, so that a factor only adds (Seninge 2021)", default=False)

    def encoder(self, ends: Ends) -> Encoder:
        return FeedForwardEncoder(ends.data.n_genes, ends.n_stats, ends.n_design, (), _no_hidden, ends.rng)

    def decoder(self, ends: Ends, encoder: Encoder) -> Decoder:
        return FeedForwardDecoder(ends, (), _no_hidden, nonnegative=self.nonnegative)


def _no_hidden(width: int) -> NormActDrop:
    raise AssertionError(f"a linear network has no hidden layer (width {width})")
