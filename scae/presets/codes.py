"""Other latents: quantised, sparse, contractive, binary."""

from __future__ import annotations

from ..bottlenecks import VQ, Binary, Contractive, Deterministic, Sparse, SparseKL
from ..bottlenecks.base import Bottleneck
from ..corruptions import Corruption, Masking, NoCorruption, Thinning
from ..model import ModelSpec
from ..networks import MLP, Network, Tied
from ..plan import TrainPlan
from .base import Preset, preset

_THINNED = Thinning(low=0.3, high=0.9)


def _coded(bottleneck: Bottleneck, paper: str, network: Network, corruption: Corruption = _THINNED) -> Preset:
    """NB counts with thinning corruption and the given bottleneck and network."""
    return Preset(ModelSpec(corruption=corruption, network=network, bottleneck=bottleneck), TrainPlan(), paper)


@preset("vqvae")
def vqvae() -> Preset:
    """VQ-VAE: each cell is assigned to one of 64 learned codes, which embed also writes to obs."""
    network = MLP(dropout=0.1, encode_covariates=False)
    return _coded(VQ(dim=32, n_codes=64), "van den Oord 2017, doi:10.48550/arXiv.1711.00937", network)


@preset("sparse")
def sparse() -> Preset:
    """Sparse coding (L1, k-sparse): 128 gene programmes (linear decoder, unit-norm columns), of which a cell uses at most 16."""
    # Held-out cells would stop the fit before the units have settled: .172 instead of .192 of the deviance explained on pbmc3k.
    network = MLP(decoder_hidden=(), dropout=0.1, encode_covariates=False)
    spec = ModelSpec(corruption=_THINNED, network=network, bottleneck=Sparse(dim=128, weight=0.1, k=16))
    paper = "Olshausen & Field 1996, doi:10.1038/381607a0; Makhzani & Frey 2013, doi:10.48550/arXiv.1312.5663"
    return Preset(spec, TrainPlan(held_out=0.0), paper)


@preset("sparse_kl")
def sparse_kl() -> Preset:
    """Sparse autoencoder (KL): 64 sigmoid units with a target mean activation of 0.05."""
    network = MLP(dropout=0.1, encode_covariates=False)
    return _coded(SparseKL(dim=64, weight=10.0), "Lee, Ekanadham & Ng 2007, NIPS 20, 873–880", network)


@preset("contractive")
def contractive() -> Preset:
    """Contractive autoencoder: penalised Jacobian of the latent, tied weights, no corruption."""
    return _coded(Contractive(dim=32, weight=1.0), "Rifai 2011, doi:10.5555/3104482.3104587", Tied(norm="none"), NoCorruption())


@preset("binary")
def binary() -> Preset:
    """Semantic hashing: 64 bits per cell, compared by Hamming distance."""
    network = MLP(dropout=0.1, encode_covariates=False)
    return _coded(Binary(dim=64, beta=0.2), "Salakhutdinov & Hinton 2009, doi:10.1016/j.ijar.2008.11.006", network)


@preset("tied")
def tied() -> Preset:
    """Denoising autoencoder with tied weights: counts are masked at random, the decoder is the encoder transposed."""
    return _coded(Deterministic(dim=32), "Vincent 2010, doi:10.5555/1756006.1953039", Tied(), Masking(0.3))
