"""``scae parts``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from .. import config, parts, presets
from ..fields import fields
from ..model import ModelSpec
from ..schema import json_schema


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", nargs="?", help="list only this kind, with all fields")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema of the model part of a configuration")


def run(args: argparse.Namespace) -> dict[str, Any]:
    if args.schema:
        if not args.json:
            print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
        return json_schema()
    kinds = [args.kind] if args.kind else [*fields(ModelSpec), *config.nested_kinds()]
    listed = {kind: {name: parts.summary(cls) for name, cls in parts.of_kind(kind).items()} for kind in kinds}
    if not args.json:
        for kind, lines in listed.items():
            _show(kind, lines, with_fields=bool(args.kind))
        if not args.kind:
            _show("preset", _presets(), with_fields=False)
    return {**listed} if args.kind else {**listed, "preset": _presets()}


def _presets() -> dict[str, str]:
    """Summary and paper of each preset."""
    return {name: f"{line} [{presets.find(name).paper}]" for name, line in presets.names().items()}


def _show(kind: str, lines: dict[str, str], *, with_fields: bool) -> None:
    print(f"{kind}:")
    for name, line in lines.items():
        print(f"  {name:<21} {line}")
        for field in fields(parts.find(kind, name)).values() if with_fields else ():
            print(f"      {field.name} = {field.default!r}: {field.doc}")
