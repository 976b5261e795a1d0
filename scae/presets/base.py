"""Presets and how to find them by name."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import unknown
from ..model import ModelSpec
from ..plan import TrainPlan


@dataclass(frozen=True)
class Preset:
    """An architecture and its training plan.

    Attributes
    ----------
    spec, plan
        Architecture and training plan.
    paper
        References.
    genes
        A first model, fitted to all genes, whose loadings select the genes to model; None for all genes.
    n_genes
        Number of genes to select: those with the most variable loadings. Data with at most this many genes keep all.
    """

    spec: ModelSpec
    plan: TrainPlan
    paper: str = ""
    genes: Preset | None = None
    n_genes: int = 0


_FAMILIES = ("variational", "dca", "linear", "codes", "peaks", "scdha")  # scae's own, in the order in which they are listed
_PRESETS: dict[str, tuple[Callable[[], Preset], str]] = {}


@functools.cache
def _load() -> None:
    for family in _FAMILIES:
        importlib.import_module(f"{__package__}.{family}")


def preset(name: str) -> Callable[[Callable[[], Preset]], Callable[[], Preset]]:
    """Decorator that registers a function that returns a preset; its docstring's first line is the preset's description."""

    def enter(make: Callable[[], Preset]) -> Callable[[], Preset]:
        _PRESETS[name] = make, (make.__doc__ or "").strip().split("\n")[0]
        return make

    return enter


def names() -> dict[str, str]:
    """Names of all presets with their one-line descriptions."""
    _load()
    return {name: line for name, (_, line) in _PRESETS.items()}


def find(name: str) -> Preset:
    """A preset by name, in any case.

    Raises
    ------
    MissingKeyError
        If there is no preset of that name; lists those that exist.

    Examples
    --------
    >>> find("scVI").spec.bottleneck.dim
    10
    """
    known = {key.lower(): key for key in names()}
    if name.lower() not in known:
        raise unknown("preset", name, names())
    return _PRESETS[known[name.lower()]][0]()
