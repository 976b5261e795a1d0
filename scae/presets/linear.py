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
    """Linear autoencoder of log-normalised values; its loadings span the subspace of PCA."""
    spec = ModelSpec(network=Linear(), bottleneck=Deterministic(dim=30), likelihood=GaussianLikelihood())
    return Preset(spec, TrainPlan(kl_warmup=0.0), "Baldi & Hornik 1989, doi:10.1016/0893-6080(89)90014-2")
