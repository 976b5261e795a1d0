"""Likelihoods, one file per likelihood or close family; importing the package registers them in the catalogue."""

from .base import Likelihood, Link, Parameters
from .bernoulli import Bernoulli
from .dirichlet_multinomial import DirichletMultinomial
from .gaussian import GaussianLikelihood
from .multinomial import Multinomial
from .nb import NB, QuasiNB
from .poisson import Poisson
from .posterior import GammaRates, Posterior, Seen
from .student import Student
from .zinb import ZINB

__all__ = [
    "NB",
    "ZINB",
    "Bernoulli",
    "DirichletMultinomial",
    "GammaRates",
    "GaussianLikelihood",
    "Likelihood",
    "Link",
    "Multinomial",
    "Parameters",
    "Poisson",
    "Posterior",
    "QuasiNB",
    "Seen",
    "Student",
]
