"""Named models from the literature, each a value: an architecture and how to train it. One file a family."""

from . import variational, dca, linear, codes, peaks, scdha  # noqa: F401, I001 (enter them, in the order in which they are listed)
from .base import Preset, find, names, preset

__all__ = ["Preset", "find", "names", "preset"]
