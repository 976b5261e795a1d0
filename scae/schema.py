"""The JSON schema of a configuration's model part, drawn from the catalogue of parts as its reader is."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

from . import parts, presets
from .config import alternatives
from .model import ModelSpec
from .plan import TrainPlan

_JSON = {bool: "boolean", int: "integer", float: "number", str: "string", types.NoneType: "null", tuple: "array"}
_NULL = {"type": "null"}
_NAMELESS = {"type": "object", "not": {"required": ["name"]}}


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
            "genes": {"description": "a first model, which says what genes are modelled", "if": _NULL, "else": {"$ref": "#"}},
            "n_genes": {"description": "how many genes it keeps", "type": "integer", "minimum": 0},
            "paper": {"description": "where the model is from", "type": "string"},
            "name": {"description": "what scae select called it", "type": ["string", "null"]},
            "reason": {"description": "why scae select chose it", "type": "string"},
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
    fields = {f.name: _field_schema(f, alternatives(hints[f.name])) for f in dataclasses.fields(cls)}
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
