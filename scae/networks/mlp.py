"""Multilayer perceptrons."""

from __future__ import annotations

from ..layers import ACTIVATIONS, NORMS, NormActDrop
from ..parts import option, part
from .base import Decoder, Encoder, Ends, FeedForwardDecoder, FeedForwardEncoder, Network


@part("network", "mlp")
class MLP(Network):
    """Fully connected layers (Hinton & Salakhutdinov 2006); covariates are an additional input of every hidden layer.

    With ``decoder_hidden=()`` the decoder is linear and its weights are gene loadings. ``nonnegative`` restricts them to gene
    programmes that only increase expression, as in Seninge 2021, doi:10.1038/s41467-021-26017-0. For ``residual`` see He 2016,
    doi:10.1109/CVPR.2016.90.

    Examples
    --------
    >>> MLP(hidden=(64, 64), residual=True, covariate_embedding=4).decoder_hidden is None
    True
    """

    hidden: tuple[int, ...] = option("widths of the encoder's hidden layers", default=(128,), low=1)
    decoder_hidden: tuple[int, ...] | None = option(
        "widths of the decoder's hidden layers (none: those of the encoder in reverse)", default=None, low=1
    )
    activation: str = option("activation of hidden layers", default="relu", choices=tuple(ACTIVATIONS))
    norm: str = option(
        "norm of hidden layers ('batch': in training, a cell's output depends on its minibatch)", default="layer", choices=NORMS
    )
    dropout: float = option("share of hidden units dropped in training", default=0.0, low=0.0, high=0.95)
    encode_covariates: bool = option("the encoder sees the covariates", default=True)
    readout_covariates: bool = option("covariates also enter the read-out layers", default=True)
    covariate_embedding: int = option(
        "length of the vector learned per level of a categorical covariate (0: one-hot columns)", default=0, low=0
    )
    n_decoders: int = option("number of decoders; losses and means are averaged over them (Tran 2021)", default=1, low=1)
    residual: bool = option("residual connections between hidden layers of equal width (He 2016)", default=False)
    latent_block: bool = option(
        "norm, activation and dropout of the latent before it is decoded, as of a hidden layer (Eraslan 2019)", default=False
    )
    nonnegative: bool = option("nonnegative weights of the mean's read-out layer (Seninge 2021)", default=False)

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
            readout_covariates=self.readout_covariates or not widths,  # a linear decoder has no hidden layer for them
            residual=self.residual,
            latent_block=self.latent_block,
            nonnegative=self.nonnegative,
        )

    def _block(self, width: int) -> NormActDrop:
        return NormActDrop(width, self.norm, self.activation, self.dropout)
