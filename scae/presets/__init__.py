"""Named models from the literature, each a value: an architecture and how to train it. One file per family."""

from .base import Preset, find, names, preset

__all__ = ["Preset", "find", "names", "preset"]
