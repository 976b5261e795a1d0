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
        pp,
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

__all__ = [  # a plain list, which editors and type checkers read
    "Autoencoder",
    "ModelSpec",
    "TrainPlan",
    "bottlenecks",
    "check",
    "corruptions",
    "datasets",
    "errors",
    "external",
    "likelihoods",
    "load",
    "networks",
    "parts",
    "pl",
    "pp",
    "presets",
    "priors",
    "threads",
    "tl",
    "transforms",
]
_NAMES = {"Autoencoder": "model", "ModelSpec": "model", "TrainPlan": "plan", "check": "checks", "load": "store"}  # from modules


def __getattr__(name: str) -> object:
    if name in __all__ and name not in _NAMES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _NAMES:
        value = getattr(importlib.import_module(f"{__name__}.{_NAMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
