"""Fully connected layers."""

from __future__ import annotations

from ..layers import ACTIVATIONS, NORMS, NormActDrop
from ..parts import option, part
from .base import Decoder, Encoder, Ends, Network
from .feedforward import FeedForwardDecoder, FeedForwardEncoder


@part("network", "mlp")
class MLP(Network):
    """Fully connected layers (Hinton & Salakhutdinov 2006); covariates join at every hidden layer.

    For ``residual`` see He 2016, doi:10.1109/CVPR.2016.90. ``nonnegative`` makes the loadings of a linear decoder
    (``decoder_hidden=()``) readable as gene programmes that only add, as in Seninge 2021, doi:10.1038/s41467-021-26017-0.

    Examples
    --------
    >>> MLP(hidden=(64, 64), residual=True, covariate_embedding=4).decoder_hidden is None
    True
    """

    hidden: tuple[int, ...] = option("widths of the encoder's hidden layers", default=(128,), low=1)
    decoder_hidden: tuple[int, ...] | None = option(
        "widths of the decoder's hidden layers (none: the encoder's in reverse)", default=None, low=1
    )
    activation: str = option("activation of hidden layers", default="relu", choices=tuple(ACTIVATIONS))
    norm: str = option(
        "norm of hidden layers ('batch': a cell depends on the others in its minibatch)", default="layer", choices=NORMS
    )
    dropout: float = option("share of hidden units dropped in training", default=0.0, low=0.0, high=0.95)
    encode_covariates: bool = option("covariates also enter the encoder", default=True)
    readout_covariates: bool = option("covariates also shift each gene's read-out", default=True)
    covariate_embedding: int = option(
        "length of the vector learned per level of a categorical covariate (0: one-hot columns)", default=0, low=0
    )
    n_decoders: int = option("decoders of one latent; losses and means are averaged over them (Tran 2021)", default=1, low=1)
    residual: bool = option("a hidden layer as wide as the one before adds to it (He 2016)", default=False)
    nonnegative: bool = option("loadings of the mean's read-out are not negative (Seninge 2021)", default=False)

    def encoder(self, ends: Ends) -> Encoder:
        n_design = ends.n_design if self.encode_covariates else 0
        return FeedForwardEncoder(
            ends.data.n_genes, ends.n_stats, n_design, self.hidden, self._block, ends.rng, residual=self.residual
        )

    def decoder(self, ends: Ends, encoder: Encoder) -> Decoder:
        widths = self.hidden[::-1] if self.decoder_hidden is None else self.decoder_hidden
        return FeedForwardDecoder(
            ends,
            widths,
            self._block,
            readout_covariates=self.readout_covariates or not widths,  # a linear decoder has no other place for them
            residual=self.residual,
            nonnegative=self.nonnegative,
        )

    def _block(self, width: int) -> NormActDrop:
        return NormActDrop(width, self.norm, self.activation, self.dropout)
