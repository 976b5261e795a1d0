"""The model part of a configuration: a preset, what is changed of its parts and of its plan; its schema, and reading it.

Schema, reader and the command line's options are drawn from the same catalogue of parts. A configuration is plain JSON (or
YAML, read by someone else)::

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
from .errors import ConfigError, MissingKeyError, unknown
from .model import ModelSpec
from .parts import to_dict
from .plan import TrainPlan
from .presets import Preset

_JSON = {bool: "boolean", int: "integer", float: "number", str: "string", types.NoneType: "null", tuple: "array"}
_NOTES = ("name", "reason", "paper")  # what a choice says of itself, beside spec and plan
_NAMELESS = {"type": "object", "not": {"required": ["name"]}}


def read_config(given: Mapping[str, Any], *, default: str = "vae", where: str = "") -> Preset:
    """The preset that a configuration's model part describes.

    Parameters
    ----------
    given
        ``preset`` (a name), ``spec`` (kind of part → name or fields) and ``plan`` (fields of :class:`TrainPlan`); each may
        be left out.
    default
        The preset where none is named.
    where
        Put before the path in messages, e.g. ``"model."``.

    Raises
    ------
    ConfigError
        If a value is not allowed; the message begins with its path.
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
    _mapping(given, ("preset", "spec", "plan"), where.rstrip(". ") or "the configuration")
    name = given.get("preset", default)
    if name not in tuple(presets.names()):
        raise _unknown(f"{where}preset", "preset", name, presets.names())
    return change(presets.find(name), given.get("spec"), given.get("plan"), where=where)


def read_config_file(path: str | Path) -> dict[str, Any]:
    """A JSON file as the mapping that :func:`read_config` takes; also one in which a choice by evidence was written down.

    Raises
    ------
    ConfigError
        If it is not JSON, or not a mapping, or says that no model is good enough.
    FileNotFoundError
        If there is none.

    Examples
    --------
    >>> n = Path("model.json").write_text('{"preset": "dca"}')
    >>> read_config_file("model.json")
    {'preset': 'dca'}
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    try:
        given = json.loads(Path(path).read_text("utf-8"))
    except ValueError as fault:
        raise ConfigError(f"{path} is not JSON ({fault}). YAML is not read here.") from fault
    if isinstance(given, Mapping) and "reason" in given and "spec" not in given:
        raise ConfigError(f"{path} names no model: {given['reason']}")
    if isinstance(given, Mapping):
        given = {key: value for key, value in given.items() if key not in _NOTES}
    return _mapping(given, ("preset", "spec", "plan"), str(path))


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
    return Preset(dataclasses.replace(base.spec, **new), planned, base.paper)


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
    return _build(parts.find(kind, name), {k: v for k, v in (start | dict(fields)).items() if k != "name"}, where)


def _build(cls: type, given: Mapping[str, Any], where: str) -> Any:
    """A record from its fields; a fault names the field by its path."""
    declared, hints = {f.name: f for f in dataclasses.fields(cls)}, typing.get_type_hints(cls)
    fields = {}
    for key, value in given.items():
        if key not in declared:
            raise _unknown(where, "field", key, declared)
        kind = declared[key].metadata["kind"]
        fields[key] = _part(kind, value, f"{where}.{key}") if kind else _whole(value, _alternatives(hints[key]))
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


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)


def json_schema() -> dict[str, Any]:
    """The JSON schema (2020-12) of what :func:`read_config` takes, drawn from the catalogue: types, ranges, choices, docs.

    Rules between two fields (``low ≤ high``) cannot be said in a schema; :func:`read_config` knows them too. There are no
    ``default`` entries, because what is left out is as the preset has it.

    Examples
    --------
    >>> json_schema()["$defs"]["bottleneck.gaussian"]["properties"]["dim"]
    {'description': 'size of the latent', 'type': 'integer', 'minimum': 1}
    """
    spec = dataclasses.fields(ModelSpec)
    kinds = _with_nested([f.metadata["kind"] for f in spec])
    changes = {
        f.name: {"description": f.metadata["doc"], "if": _NAMELESS, "else": {"$ref": f"#/$defs/{f.metadata['kind']}"}}
        for f in spec
    }
    found = {f"{k}.{n}": _record_schema(parts.find(k, n), n) for k in kinds for n in parts.names(k)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "scae model",
        "description": "A preset, and what is changed of its parts and of its plan. Written by: scae parts --schema",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "preset": {"description": "where to start (vae)", "enum": list(presets.names())},
            "spec": {"description": "parts", "type": ["object", "null"], "additionalProperties": False, "properties": changes},
            "plan": _record_schema(TrainPlan) | {"type": ["object", "null"]},
        },
        "allOf": _of_presets(),
        "$defs": {k: _kind_schema(k) for k in kinds} | found,
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{name}"}


def _with_nested(kinds: list[str]) -> list[str]:
    """The kinds, and those of parts within parts."""
    for kind in kinds:  # the list grows while it is walked
        for name in parts.names(kind):
            nested = [f.metadata["kind"] for f in dataclasses.fields(parts.find(kind, name))]
            kinds += [k for k in dict.fromkeys(nested) if k is not None and k not in kinds]
    return kinds


def _kind_schema(kind: str) -> dict[str, Any]:
    """A part that is named: ``if``/``then`` rather than ``anyOf``, so that a fault is found at its own path."""
    names = list(parts.names(kind))
    each = [
        {"if": {"properties": {"name": {"const": n}}, "required": ["name"]}, "then": {"$ref": f"#/$defs/{kind}.{n}"}}
        for n in names
    ]
    fields = {"type": "object", "required": ["name"], "properties": {"name": {"enum": names}}, "allOf": each}
    return {"if": {"type": "string"}, "then": {"enum": names}, "else": fields}


def _of_presets() -> list[dict[str, Any]]:
    """Fields without a part's name are those of the part that the preset has."""
    owners: dict[tuple[str, str, str], list[str]] = {}
    for preset in presets.names():
        for f in dataclasses.fields(ModelSpec):
            own = getattr(presets.find(preset).spec, f.name)
            owners.setdefault((f.name, type(own).kind, type(own).name), []).append(preset)
    rules = []
    for (key, kind, name), those in owners.items():
        named = {"properties": {"preset": {"enum": those}}} | ({} if "vae" in those else {"required": ["preset"]})
        nameless = {key: {"if": _NAMELESS, "then": _ref(f"{kind}.{name}")}}
        rules.append({"if": named, "then": {"properties": {"spec": {"properties": nameless}}}})
    return rules


def _record_schema(cls: type, name: str | None = None) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    fields = {f.name: _field_schema(f, _alternatives(hints[f.name])) for f in dataclasses.fields(cls)}
    named = {} if name is None else {"name": {"const": name}}
    return {
        "description": parts.summary(cls),
        "type": "object",
        "additionalProperties": False,
        "properties": named | fields,
    }


def _field_schema(f: dataclasses.Field, allowed: tuple[Any, ...]) -> dict[str, Any]:
    m = f.metadata
    if m["kind"]:
        return {"description": m["doc"]} | _ref(m["kind"])
    if m["choices"]:
        return {"description": m["doc"], "enum": list(m["choices"])}
    return {"description": m["doc"]} | _value_schema(allowed, {"minimum": m["low"], "maximum": m["high"]})


def _value_schema(allowed: tuple[Any, ...], bounds: dict[str, float | None]) -> dict[str, Any]:
    names = [_JSON[typing.get_origin(hint) or hint] for hint in allowed]
    found: dict[str, Any] = {"type": names[0] if len(names) == 1 else names}
    if "array" in names:
        inner = tuple(a for hint in allowed if typing.get_origin(hint) is tuple for a in typing.get_args(hint) if a is not ...)
        found["items"] = _value_schema(tuple(dict.fromkeys(inner)), bounds)
    if {"integer", "number"} & set(names):
        found |= {key: bound for key, bound in bounds.items() if bound is not None}
    return found
