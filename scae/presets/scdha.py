"""Single-cell decomposition using hierarchical autoencoders."""

from __future__ import annotations

from ..bottlenecks import Deterministic, Gaussian
from ..likelihoods import GaussianLikelihood
from ..model import ModelSpec
from ..networks import MLP, Linear
from ..plan import TrainPlan
from .base import Preset, preset

_PAPER = "Tran 2021, doi:10.1038/s41467-021-21312-2"


@preset("scdha")
def scdha() -> Preset:
    """scDHA: genes selected by a nonnegative linear autoencoder, then a 15-dimensional VAE with two decoders."""
    # Differences from the original: the decoder's weights are nonnegative, not the encoder's; genes are ranked by the variance of
    # these weights, as there. The second stage uses scae's norm, schedule and held-out cells. The original trains on at most
    # 5,000 cells; here that would be TrainPlan(max_cells=5000), but training on all cells is affordable.
    weights = ModelSpec(network=Linear(nonnegative=True), bottleneck=Deterministic(dim=50), likelihood=GaussianLikelihood())
    spec = ModelSpec(
        network=MLP(hidden=(64,), n_decoders=2),
        bottleneck=Gaussian(dim=15, beta=0.1),
        likelihood=GaussianLikelihood(sd="gene"),
    )
    return Preset(spec, TrainPlan(), _PAPER, genes=Preset(weights, TrainPlan(epochs=10), _PAPER), n_genes=5000)
