"""Plots: each draws what it is given, returns its Axes, and loads matplotlib when first called.

One file per public plot, under its name.
"""

from ._cross_validation import cross_validation
from ._denoising import denoising
from ._history import history
from ._latent import latent
from ._mean_variance import mean_variance
from ._zeros import zeros

__all__ = ["cross_validation", "denoising", "history", "latent", "mean_variance", "zeros"]
