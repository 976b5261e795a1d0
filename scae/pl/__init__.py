"""Plots: each draws what it is given, returns its Axes, and loads matplotlib when first called."""

from .counts import mean_variance, zeros
from .genes import denoising
from .selection import cross_validation
from .space import latent
from .training import history

__all__ = ["cross_validation", "denoising", "history", "latent", "mean_variance", "zeros"]
