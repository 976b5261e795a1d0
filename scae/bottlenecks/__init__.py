"""Bottlenecks: what becomes of the encoder's numbers before the decoder sees them, and what that costs.

One file a bottleneck; importing the package enters them in the catalogue.
"""

from .base import Bottleneck
from .deterministic import Deterministic
from .gaussian import Gaussian, discrepancy
from .hierarchical import Hierarchical

__all__ = ["Bottleneck", "Deterministic", "Gaussian", "Hierarchical", "discrepancy"]
