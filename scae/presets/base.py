"""What a preset is, and finding one by name."""

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
    """An architecture and a plan to train it with.

    Attributes
    ----------
    spec, plan
        What the model is, and how it is trained.
    paper
        Where it is from.
    genes
        A first model, fitted to all genes, that says which of them are modelled; None: all.
    n_genes
        How many it keeps: those whose loadings vary most. No more genes than that: nothing to choose.
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
    """Enter a function that makes a preset under a name; its first line is what the catalogue says of it."""

    def enter(make: Callable[[], Preset]) -> Callable[[], Preset]:
        _PRESETS[name] = make, (make.__doc__ or "").strip().split("\n")[0]
        return make

    return enter


def names() -> dict[str, str]:
    """Every preset's name with its one line."""
    _load()
    return {name: line for name, (_, line) in _PRESETS.items()}


def find(name: str) -> Preset:
    """A preset by name.

    Raises
    ------
    MissingKeyError
        If there is none of that name.

    Examples
    --------
    >>> find("scvi").spec.bottleneck.dim
    10
    """
    if name not in names():
        raise unknown("preset", name, names())
    return _PRESETS[name][0]()
