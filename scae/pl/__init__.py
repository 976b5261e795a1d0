"""Plots: each returns its Axes; matplotlib loads with the first plot.

Each public function has a file of the same name.
"""

from ._cross_validation import cross_validation
from ._denoising import denoising
from ._history import history
from ._latent import latent
from ._mean_variance import mean_variance
from ._zeros import zeros

__all__ = ["cross_validation", "denoising", "history", "latent", "mean_variance", "zeros"]


def __dir__() -> list[str]:
    return __all__
