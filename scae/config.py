"""The model part of a configuration: a preset, what is changed of its parts and of its plan.

Its schema (:mod:`scae.schema`), its reader and the command line's options are drawn from the same catalogue of parts. A
configuration is plain JSON (or YAML, read by someone else)::

    {"preset": "vae", "spec": {"bottleneck": {"dim": 20}, "likelihood": "poisson"}, "plan": {"epochs": 50}}

A part under ``spec`` is a bare name or its fields. Without ``name`` the fields are those of the preset's own part; fields that
are not given stay as the preset has them, and take the part's defaults where ``name`` is another part.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import parts, presets
from .errors import ConfigError, MissingKeyError, ModelFileError, unknown
from .model import ModelSpec
from .parts import to_dict
from .plan import TrainPlan
from .presets import Preset

_KEYS = ("preset", "spec", "plan", "genes", "n_genes", "paper", "name", "reason")  # the last two are told, not read


def read_config(given: Mapping[str, Any], *, default: str = "vae", where: str = "") -> Preset:
    """The preset that a configuration's model part describes.

    Parameters
    ----------
    given
        ``preset`` (a name), ``spec`` (kind of part → name or fields) and ``plan`` (fields of :class:`TrainPlan`); each may
        be left out. The plain form of a preset, and what ``scae select`` writes, are such configurations too.
    default
        The preset where none is named.
    where
        Put before the path in messages, e.g. ``"model."``.

    Raises
    ------
    ConfigError
        If a value is not allowed; the message begins with its path. If ``scae select`` chose nothing; it says why.
    MissingKeyError
        If a preset, part or field is not known; lists those that are.

    Examples
    --------
    >>> read_config({"preset": "scvi", "spec": {"bottleneck": {"dim": 20}}}).spec.bottleneck.dim
    20
    >>> read_config({"spec": {"bottleneck": {"dim": -3}}}, where="model.")
    Traceback (most recent call last):
        ...
    scae.errors.ConfigError: model.spec.bottleneck.dim is -3; allowed: at least 1.
    """
    _mapping(given, _KEYS, where.rstrip(". ") or "the configuration")
    if given.get("reason") and not given.get("name"):
        raise ConfigError(f"{where}no model was chosen. {given['reason']}")
    name = given.get("preset", default)
    if name not in tuple(presets.names()):
        raise _unknown(f"{where}preset", "preset", name, presets.names())
    made = change(presets.find(name), given.get("spec"), given.get("plan"), where=where)
    if "genes" in given:
        first = None if given["genes"] is None else read_config(given["genes"], where=f"{where}genes.")
        made = dataclasses.replace(made, genes=first)
    n_genes = _whole(given.get("n_genes", made.n_genes), (int,))
    if not isinstance(n_genes, int) or isinstance(n_genes, bool) or n_genes < 0:
        raise ConfigError(f"{where}n_genes is {n_genes!r}; allowed: a whole number from 0.")
    return dataclasses.replace(made, n_genes=n_genes, paper=str(given.get("paper", made.paper)))


def read_file(path: str | Path) -> Preset:
    """The preset that a JSON file describes; see :func:`read_config`.

    Raises
    ------
    ModelFileError
        If it is not JSON, or not a mapping.
    ConfigError
        As :func:`read_config`.
    FileNotFoundError
        If there is none.

    Examples
    --------
    >>> n = Path("model.json").write_text('{"preset": "dca"}')
    >>> read_file("model.json") == presets.find("dca")
    True
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    try:
        given = json.loads(Path(path).read_text("utf-8"))
    except ValueError as fault:
        raise ModelFileError(f"{path} is not JSON ({fault}). YAML is not read here.") from fault
    if not isinstance(given, dict):
        raise ModelFileError(f"{path} holds {given!r:.40}; allowed: a mapping of {', '.join(_KEYS)}.")
    return read_config(given, where=f"{path}: ")


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
    >>> changed(presets.find("denoiser"), {"bottleneck_dim": 8, "epochs": 3}).spec.bottleneck.dim
    8
    """
    known = _option_paths()
    for name in options:
        if name not in known:
            raise unknown("option of a preset", name, known)
    return changed_at(base, {known[name]: value for name, value in options.items()})


def changed_at(base: Preset, options: Mapping[tuple[str, ...], Any]) -> Preset:
    """:func:`changed` with options named by their path, ``("spec", "bottleneck", "dim")``."""
    given: dict[str, Any] = {"spec": {}, "plan": {}}
    for path, value in options.items():
        _put(given, path, value)
    for kind, owner in nested_kinds().items():
        fields = given["spec"].get(owner)
        inner, own = getattr(getattr(base.spec, owner), kind, None), fields.get(kind) if isinstance(fields, dict) else None
        if inner is not None and isinstance(own, dict) and "name" not in own:
            fields[kind] = to_dict(inner) | own  # the option is one of the part that the preset has
    return change(base, given["spec"], given["plan"])


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Enter a value in nested mappings; a part that is named and has fields becomes a mapping with both."""
    for step in path[:-1]:
        inner = tree.get(step, {})
        tree[step] = {"name": inner} if isinstance(inner, str) else inner
        tree = tree[step]
    if isinstance(tree.get(path[-1]), dict):
        tree[path[-1]]["name"] = value
    else:
        tree[path[-1]] = value


def _option_paths() -> dict[str, tuple[str, ...]]:
    """Where each option of the command line stands in a configuration."""
    found: dict[str, tuple[str, ...]] = {f.name: ("plan", f.name) for f in dataclasses.fields(TrainPlan)}
    kinds = {f.name: ("spec", f.name) for f in dataclasses.fields(ModelSpec)}
    nested = {kind: (*kinds[owner], kind) for kind, owner in nested_kinds().items()}
    for kind, path in (kinds | nested).items():
        for name in parts.names(kind):
            found |= {f"{kind}_{f.name}": (*path, f.name) for f in dataclasses.fields(parts.find(kind, name))}
    return found | kinds


def nested_kinds() -> dict[str, str]:
    """Kinds of parts that are fields of other parts, by the kind of those; a field is called as its kind."""
    owners: dict[str, str] = {}
    for owner in (f.name for f in dataclasses.fields(ModelSpec)):
        for name in parts.names(owner):
            fields = dataclasses.fields(parts.find(owner, name))
            owners |= {f.name: owner for f in fields if f.metadata["kind"] == f.name}
    return owners


def change(base: Preset, spec: Mapping[str, Any] | None, plan: Mapping[str, Any] | None, *, where: str = "") -> Preset:
    """A preset with some fields of its parts and of its plan changed; see :func:`read_config`.

    Raises
    ------
    ScaeError
        As :func:`read_config`.

    Examples
    --------
    >>> change(presets.find("vae"), {"likelihood": "poisson"}, {"epochs": 3}).spec.likelihood.name
    'poisson'
    """
    kinds = {f.name: f.metadata["kind"] for f in dataclasses.fields(ModelSpec)}
    spec = _mapping({} if spec is None else spec, kinds, f"{where}spec")
    plan = _mapping({} if plan is None else plan, None, f"{where}plan")
    new = {key: _part(kinds[key], value, f"{where}spec.{key}", getattr(base.spec, key)) for key, value in spec.items()}
    planned = _build(TrainPlan, to_dict(base.plan) | plan, f"{where}plan")
    return dataclasses.replace(base, spec=dataclasses.replace(base.spec, **new), plan=planned)


def _mapping(given: Any, known: typing.Iterable[str] | None, where: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where} is {given!r}; allowed: a mapping" + (f" of {', '.join(known)}." if known else "."))
    for key in given:
        if known is not None and key not in known:
            raise _unknown(where, "key", key, known)
    return dict(given)


def _unknown(where: str, what: str, name: Any, known: typing.Iterable[str]) -> MissingKeyError:
    return MissingKeyError(f"{where}: {unknown(what, name, known)}")


def _part(kind: str, given: Any, where: str, base: Any = None) -> Any:
    """A part from its name or fields; ``base`` is the part that it changes."""
    fields = {"name": given} if isinstance(given, str) else given
    if not isinstance(fields, Mapping):
        raise ConfigError(f"{where} is {given!r}; allowed: one of {', '.join(parts.names(kind))}, or a mapping of fields.")
    own = None if base is None else type(base).name
    name = fields.get("name", own)
    if name not in parts.names(kind):
        if "name" not in fields:
            raise ConfigError(f"{where} has no 'name'; allowed: {', '.join(parts.names(kind))}.")
        raise _unknown(where, kind, name, parts.names(kind))
    start = to_dict(base) if name == own else {}
    given = {k: v for k, v in (start | dict(fields)).items() if k != "name"}
    return _build(parts.find(kind, name), given, where)


def _build(cls: type, given: Mapping[str, Any], where: str) -> Any:
    """A record from its fields; a fault names the field by its path."""
    declared, hints = {f.name: f for f in dataclasses.fields(cls)}, typing.get_type_hints(cls)
    fields = {}
    for key, value in given.items():
        if key not in declared:
            raise _unknown(where, "field", key, declared)
        kind = declared[key].metadata["kind"]
        fields[key] = _part(kind, value, f"{where}.{key}") if kind else _whole(value, alternatives(hints[key]))
    try:
        return cls(**fields)
    except ConfigError as fault:
        raise ConfigError(f"{where}.{str(fault).removeprefix(f'{parts.label(cls)}: ')}") from fault


def _whole(value: Any, allowed: tuple[Any, ...]) -> Any:
    """JSON does not tell 8.0 from 8, fields do."""
    if isinstance(value, list | tuple):
        inner = tuple(arg for hint in allowed for arg in typing.get_args(hint))
        return [_whole(v, inner) for v in value]
    if isinstance(value, float) and value.is_integer() and int in allowed and float not in allowed:
        return int(value)
    return value


def alternatives(hint: Any) -> tuple[Any, ...]:
    """The types that a type hint allows."""
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
