"""Priors over a latent: what the KL term measures a posterior against.

One file a prior; importing the package enters them in the catalogue.
"""

from .base import Prior, draw, normal_kl, normal_log_prob, posterior
from .label import LabelNormal
from .mixture import Mixture
from .simplex import Simplex
from .standard import StandardNormal
from .vamp import Vamp

__all__ = [
    "LabelNormal",
    "Mixture",
    "Prior",
    "Simplex",
    "StandardNormal",
    "Vamp",
    "draw",
    "normal_kl",
    "normal_log_prob",
    "posterior",
]
