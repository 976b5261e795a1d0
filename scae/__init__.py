"""scae: AnnData-native count autoencoders. Importing it loads neither torch nor scanpy; each name loads when first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .version import __version__

if TYPE_CHECKING:
    from . import (
        bottlenecks,
        corruptions,
        datasets,
        errors,
        external,
        likelihoods,
        networks,
        parts,
        pl,
        presets,
        priors,
        threads,
        tl,
        transforms,
    )
    from .checks import check
    from .model import Autoencoder, ModelSpec
    from .plan import TrainPlan
    from .store import load

_PARTS = ("bottlenecks", "corruptions", "likelihoods", "networks", "priors", "transforms")
_MODULES = ("datasets", "errors", "external", "parts", "pl", "pp", "presets", "threads", "tl", *_PARTS)
_NAMES = {
    "Autoencoder": "model",
    "ModelSpec": "model",
    "TrainPlan": "plan",
    "check": "checks",
    "load": "store",
}

__all__ = [*_MODULES, *_NAMES]


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
