"""An encoder and a decoder without a model around them."""

from __future__ import annotations

import torch
from torch import nn

from scae.keys import DataSpec
from scae.networks import Covariates, Ends, Network


def built(network: Network, data: DataSpec, readouts: tuple[str, ...], n_latent: int = 4) -> nn.ModuleList:
    """Encoder, decoder and covariates of a network, in float64; the bottleneck is the identity."""
    rng = torch.Generator().manual_seed(0)
    covariates = Covariates(data, network.covariate_embedding, rng)
    ends = Ends(n_latent, n_latent, readouts, data, covariates.width, rng)
    encoder = network.encoder(ends)
    return nn.ModuleList([encoder, network.decoder(ends, encoder), covariates]).double()
