"""The JSON schema of a configuration's model part, drawn from the catalogue of parts as its reader is."""

from __future__ import annotations

import types
import typing
from typing import Any, Literal

from . import parts, presets
from .config import nested_kinds
from .fields import Field, fields
from .keys import DataKeys
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
    spec = fields(ModelSpec)
    kinds = [*(str(f.kind) for f in spec.values()), *nested_kinds()]
    changes = {name: {"description": f.doc, "if": _NAMELESS, "else": _ref(str(f.kind))} for name, f in spec.items()}
    found = {f"{k}.{n}": _record_schema(cls, n) for k in kinds for n, cls in parts.of_kind(k).items()}
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
        "$defs": {k: _kind_schema(k) for k in kinds} | found | {"data": _record_schema(DataKeys)},
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{name}"}


def _kind_schema(kind: str) -> dict[str, Any]:
    """A part that is named: ``if``/``then`` rather than ``anyOf``, so that a fault is found at its own path."""
    names = list(parts.names(kind))
    each = [
        {"if": {"properties": {"name": {"const": n}}, "required": ["name"]}, "then": {"$ref": f"#/$defs/{kind}.{n}"}}
        for n in names
    ]
    named = {"type": "object", "required": ["name"], "properties": {"name": {"enum": names}}, "allOf": each}
    return {"if": {"type": "string"}, "then": {"enum": names}, "else": named}


def _of_presets() -> list[dict[str, Any]]:
    """Fields without a part's name are those of the part that the preset has."""
    owners: dict[tuple[str, str, str], list[str]] = {}
    for preset in presets.names():
        for place in fields(ModelSpec):
            own = getattr(presets.find(preset).spec, place)
            owners.setdefault((place, own.kind, own.name), []).append(preset)
    rules = []
    for (key, kind, name), those in owners.items():
        named = {"properties": {"preset": {"enum": those}}} | ({} if "vae" in those else {"required": ["preset"]})
        nameless = {key: {"if": _NAMELESS, "then": _ref(f"{kind}.{name}")}}
        rules.append({"if": named, "then": {"properties": {"spec": {"properties": nameless}}}})
    return rules


def _record_schema(cls: type, name: str | None = None) -> dict[str, Any]:
    named = {} if name is None else {"name": {"const": name}}
    return {
        "description": parts.summary(cls),
        "type": "object",
        "additionalProperties": False,
        "properties": named | {name: _field_schema(field) for name, field in fields(cls).items()},
    }


def _field_schema(field: Field) -> dict[str, Any]:
    said: dict[str, Any] = {"description": field.doc}
    if field.kind:
        return said | _ref(field.kind)
    if field.choices:
        return said | {"enum": list(field.choices)}
    bounds = {name: bound for name, bound in (("minimum", field.low), ("maximum", field.high)) if bound is not None}
    said |= _types(field.types, bounds)
    return said | {"items": _types(field.items, bounds)} if field.items else said


def _types(allowed: tuple[Any, ...], bounds: dict[str, float]) -> dict[str, Any]:
    texts = [hint for hint in allowed if typing.get_origin(hint) is Literal]
    if texts:
        rest = _types(tuple(hint for hint in allowed if hint not in texts), bounds)
        return {"anyOf": [rest, *({"enum": list(typing.get_args(hint))} for hint in texts)]}
    names = [_JSON[typing.get_origin(hint) or hint] for hint in allowed]
    return {"type": names[0] if len(names) == 1 else names} | (bounds if {"integer", "number"} & set(names) else {})
