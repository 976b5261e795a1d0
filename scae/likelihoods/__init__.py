"""Likelihoods, one file each; importing the package enters them in the catalogue."""

from .base import Likelihood, Link, Parameters
from .bernoulli import Bernoulli
from .gaussian import GaussianLikelihood
from .nb import NB
from .poisson import Poisson
from .zinb import ZINB

__all__ = ["NB", "ZINB", "Bernoulli", "GaussianLikelihood", "Likelihood", "Link", "Parameters", "Poisson"]
