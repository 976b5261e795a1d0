"""Fully connected layers."""

from __future__ import annotations

import torch

from ..batch import DataSpec
from ..layers import ACTIVATIONS, NORMS, Finish
from ..parts import option, part
from .base import Coder, Ends, Network
from .feedforward import Shape


@part("network", "mlp")
class MLP(Network):
    """Fully connected layers (Hinton & Salakhutdinov 2006); covariates join at every hidden layer.

    ``residual`` is He 2016, doi:10.1109/CVPR.2016.90; ``nonnegative`` makes sense of the loadings of a linear decoder
    (``decoder_hidden=()``), as in Seninge 2021, doi:10.1038/s41467-021-26017-0.

    Examples
    --------
    >>> MLP(hidden=(64, 64), residual=True, covariate_embedding=4).decoder_hidden is None
    True
    """

    hidden: tuple[int, ...] = option("widths of the encoder's hidden layers", default=(128,), low=1)
    decoder_hidden: tuple[int, ...] | None = option(
        "widths of the decoder's hidden layers (none: the encoder's mirrored)", default=None, low=1
    )
    activation: str = option("activation of hidden layers", default="relu", choices=tuple(ACTIVATIONS))
    norm: str = option("norm of hidden layers ('batch': cells depend on their batch-mates)", default="layer", choices=NORMS)
    dropout: float = option("share of hidden units dropped while training", default=0.0, low=0.0, high=0.95)
    encode_covariates: bool = option("covariates also enter the encoder", default=True)
    readout_covariates: bool = option("covariates also shift each gene's read-out", default=True)
    covariate_embedding: int = option(
        "length of the vector learned for each level of a categorical covariate (0: one-hot columns)", default=0, low=0
    )
    n_decoders: int = option("decoders of one latent; losses and means are averaged over them (Tran 2021)", default=1, low=1)
    residual: bool = option("a hidden layer as wide as the one before adds to it (He 2016)", default=False)
    nonnegative: bool = option("loadings of the mean's read-out from zero up (Seninge 2021)", default=False)

    def build(self, n_stats: int, n_latent: int, readouts: tuple[str, ...], data: DataSpec, rng: torch.Generator) -> Coder:
        up = self.hidden[::-1] if self.decoder_hidden is None else self.decoder_hidden
        shape = Shape(
            self.hidden, up, self._finish, (self.encode_covariates, True, self.readout_covariates or not up),
            self.covariate_embedding, self.residual, self.nonnegative,
        )  # fmt: skip
        return shape.build(Ends(n_stats, n_latent, readouts, data, rng))

    def _finish(self, width: int) -> Finish:
        return Finish(width, self.norm, self.activation, self.dropout)
