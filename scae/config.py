"""Models from plain values: a preset with some options changed, and a preset from what a JSON file holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from . import parts
from .errors import ConfigError, unknown
from .model import ModelSpec
from .plan import TrainPlan
from .presets import Preset

_PLAIN = (*(f.name for f in dataclasses.fields(Preset)), "name", "reason")


def changed(base: Preset, options: Mapping[str, Any]) -> Preset:
    """A preset with some options changed, named as on the command line with underscores.

    Parameters
    ----------
    base
        Where to start.
    options
        Values by name: a kind of part (``likelihood``), a field of that part (``bottleneck_dim``), a field of the plan
        (``epochs``). A part of another name starts at its own defaults.

    Raises
    ------
    MissingKeyError
        If there is no such option, or the part that the preset has lacks the field.
    ConfigError
        If a value is not allowed.

    Examples
    --------
    >>> from scae.presets import find
    >>> changed(find("denoiser"), {"bottleneck_dim": 8, "epochs": 3}).spec.bottleneck.dim
    8
    """
    spec, plan = parts.to_dict(base.spec), parts.to_dict(base.plan)
    for name, value in sorted(options.items()):  # a kind before its fields
        kind = next((k for k in spec if name == k or name.startswith(f"{k}_")), None)
        if kind == name:
            spec[kind] = {"name": value} if value != spec[kind]["name"] else spec[kind]
        elif kind is not None:
            spec[kind][name[len(kind) + 1 :]] = value
        elif name in plan:
            plan[name] = value
        else:
            own = [f"{k}_{field}" for k, fields in spec.items() for field in fields if field != "name"]
            raise unknown("option of a preset", name, [*spec, *own, *plan])
    return Preset(parts.from_dict(ModelSpec, spec), parts.from_dict(TrainPlan, plan), base.paper)


def from_plain(given: Mapping[str, Any]) -> Preset:
    """A preset from the plain form that ``scae.parts.to_dict`` makes of it, such as a JSON file holds.

    Raises
    ------
    ConfigError
        If it has no ``spec``, or a value is not allowed.
    MissingKeyError
        If it names a part or a field that is not known.

    Examples
    --------
    >>> from scae.presets import find
    >>> from_plain(parts.to_dict(find("scvi"))) == find("scvi")
    True
    """
    if "spec" not in given:
        reason = f" It says: {given['reason']}" if given.get("reason") else ""
        held = ", ".join(map(repr, given)) or "nothing"
        raise ConfigError(f"this configuration names no model: it holds {held}, and 'spec' is needed.{reason}")
    for key in given:
        if key not in _PLAIN:
            raise unknown("key of a configuration", key, _PLAIN)
    plan = parts.from_dict(TrainPlan, given.get("plan", {}))
    return Preset(parts.from_dict(ModelSpec, given["spec"]), plan, str(given.get("paper", "")))
