"""Variants of a preset."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from .. import config
from ..model import ModelSpec
from ..presets import Preset
from ._fit import as_preset


def grid(base: str | Preset | ModelSpec, **options: Sequence[Any]) -> dict[str, Preset]:
    """Build every combination of some options of a preset, for :func:`cross_validate`.

    Parameters
    ----------
    base : str, Preset or ModelSpec
        The name of a preset, a preset or a specification.
    options
        Values to try per option. Options are named as on the command line, with underscores: ``bottleneck_dim=[8, 32]``,
        ``likelihood=["nb", "zinb"]``, ``lr=[1e-3, 2e-3]``.

    Returns
    -------
    dict
        Presets; their names give the options that differ.

    Raises
    ------
    MissingKeyError
        If there is no such option.
    ConfigError
        If a value is not allowed.

    Examples
    --------
    >>> list(scae.tl.grid("denoiser", bottleneck_dim=[8, 32]))
    ['denoiser bottleneck_dim=8', 'denoiser bottleneck_dim=32']
    """
    head, variants = base if isinstance(base, str) else "model", {}
    for values in itertools.product(*options.values()):
        chosen = dict(zip(options, values, strict=True))
        varied = [f"{name}={_word(value)}" for name, value in chosen.items() if len(options[name]) > 1]
        variants[" ".join([head, *varied])] = config.with_options(as_preset(base), chosen)
    return variants


def _word(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
