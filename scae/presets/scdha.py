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
    """scDHA: genes chosen by a non-negative linear autoencoder, then a VAE of 15 dimensions with two decoders."""
    # Departures: the loadings of the decoder are held from zero up, not those of the encoder; a gene is weighed by their variance
    # as there. The second stage has scae's norm, schedule and held-out cells. There at most 5,000 cells are trained on, which is
    # TrainPlan(max_cells=5000) and not the default here, because a pass over all cells is affordable.
    weights = ModelSpec(network=Linear(nonnegative=True), bottleneck=Deterministic(dim=50), likelihood=GaussianLikelihood())
    spec = ModelSpec(
        network=MLP(hidden=(64,), n_decoders=2),
        bottleneck=Gaussian(dim=15, beta=0.1),
        likelihood=GaussianLikelihood(sd="gene"),
    )
    return Preset(spec, TrainPlan(), _PAPER, genes=Preset(weights, TrainPlan(epochs=10), _PAPER), n_genes=5000)
