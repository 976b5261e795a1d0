"""Priors of the latent, against which the KL term measures the posterior.

One file per prior; importing the package registers them in the catalogue.
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
