"""Plots: each draws what it is given, returns its Axes, and loads matplotlib when first called."""

from .selection import cross_validation

__all__ = ["cross_validation"]
