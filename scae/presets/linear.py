"""Linear models."""

from __future__ import annotations

from ..bottlenecks import Deterministic
from ..likelihoods import GaussianLikelihood
from ..model import ModelSpec
from ..networks import Linear
from ..plan import TrainPlan
from .base import Preset, preset


@preset("pca")
def pca() -> Preset:
    """PCA of log-normalised values, the best linear autoencoder, found by singular value decomposition instead of steps."""
    spec = ModelSpec(network=Linear(start="pca"), bottleneck=Deterministic(dim=30), likelihood=GaussianLikelihood())
    return Preset(spec, TrainPlan(epochs=0, held_out=0.0), "Baldi & Hornik 1989, doi:10.1016/0893-6080(89)90014-2")
