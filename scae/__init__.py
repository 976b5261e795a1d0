"""scae: AnnData-native count autoencoders. Importing it loads neither torch nor scanpy; each name loads when first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from . import datasets, errors, pp, tl
    from .check import check
    from .errors import ScaeError
    from .store import load

_MODULES = ("datasets", "errors", "pp", "tl")
_NAMES = {"check": "check", "load": "store", "ScaeError": "errors"}

__all__ = ["ScaeError", "__version__", "check", "datasets", "errors", "load", "pp", "tl"]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _NAMES:
        value = getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
