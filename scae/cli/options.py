"""Options of a model, derived from the fields of the parts: what a part takes, the command line takes."""

from __future__ import annotations

import argparse
import dataclasses
import types
import typing
from collections.abc import Callable
from typing import Any

from .. import parts, presets
from ..model import ModelSpec
from ..plan import TrainPlan
from ..presets import Preset


def add_model_options(parser: argparse.ArgumentParser, default: str) -> None:
    """``--preset``, the data keys, one option for each kind of part, for each field of each part, and for the plan."""
    known = ", ".join(presets.names())
    parser.add_argument("--preset", default=default, metavar="NAME", help=f"where to start: {known} ({default})")
    keys = parser.add_argument_group("data")
    keys.add_argument("--layer", help="layer that holds the counts (X)")
    keys.add_argument("--batch-key", help="obs column of the batch that the latent is to be free of")
    keys.add_argument("--categorical-covariates", nargs="+", default=(), metavar="KEY", help="further categorical obs columns")
    keys.add_argument("--continuous-covariates", nargs="+", default=(), metavar="KEY", help="continuous obs columns")
    keys.add_argument("--size-factor", metavar="KEY", help="obs column of the exposure (total over the modelled genes)")
    keys.add_argument("--label-key", metavar="KEY", help="obs column of the labels that a prior reads")
    keys.add_argument("--mask-var", metavar="KEY", help="var column of the genes to model (highly_variable where present)")
    keys.add_argument("--device", default="auto", help="cpu, cuda or auto (auto)")
    keys.add_argument("--random-state", type=int, default=0, help="seed (0)")
    keys.add_argument("--threads", type=int, help="number of threads (what the scheduler grants)")
    for kind in _model_fields():
        group = parser.add_argument_group(kind)
        group.add_argument(
            f"--{kind}",
            dest=f"spec.{kind}",
            default=argparse.SUPPRESS,
            metavar="NAME",
            help=f"one of: {', '.join(parts.names(kind))}",
        )
        for name, (text, parse) in _fields_of_kind(kind).items():
            flag = f"--{kind}-{name.replace('_', '-')}"
            group.add_argument(flag, dest=f"spec.{kind}.{name}", default=argparse.SUPPRESS, type=parse, metavar="V", help=text)
    plan = parser.add_argument_group("training (defaults: the preset's)")
    hints = typing.get_type_hints(TrainPlan)
    for f in dataclasses.fields(TrainPlan):
        flag = f"--{f.name.replace('_', '-')}"
        plan.add_argument(
            flag, dest=f"plan.{f.name}", default=argparse.SUPPRESS, type=_parser_of(hints[f.name]), metavar="V", help=_text(f)
        )


def preset_from(args: argparse.Namespace) -> Preset:
    """The preset that the options name, with what they change."""
    base = presets.find(args.preset)
    spec, plan = parts.to_dict(base.spec), parts.to_dict(base.plan)
    given = sorted(vars(args).items())  # a kind before its fields
    for key, value in given:
        where, *path = key.split(".")
        if where == "spec" and len(path) == 1:
            spec[path[0]] = {"name": value} if value != spec[path[0]]["name"] else spec[path[0]]
        elif where == "spec":
            spec[path[0]][path[1]] = value
        elif where == "plan" and path:
            plan[path[0]] = value
    return Preset(parts.from_dict(ModelSpec, spec), parts.from_dict(TrainPlan, plan), base.paper)


def fit_options(args: argparse.Namespace) -> dict[str, Any]:
    """The keywords of :func:`scae.tl.fit` that the options give."""
    names = (
        "layer",
        "batch_key",
        "categorical_covariates",
        "continuous_covariates",
        "size_factor",
        "label_key",
        "mask_var",
        "device",
        "random_state",
    )
    return {name: getattr(args, name) for name in names}


def _model_fields() -> list[str]:
    return [f.name for f in dataclasses.fields(ModelSpec)]


def _fields_of_kind(kind: str) -> dict[str, tuple[str, Callable[[str], Any]]]:
    """Every field of the parts of a kind, with the parts that have it."""
    owners: dict[str, list[str]] = {}
    found: dict[str, tuple[str, Callable[[str], Any]]] = {}
    for name in parts.names(kind):
        cls = parts.find(kind, name)
        hints = typing.get_type_hints(cls)
        for f in dataclasses.fields(cls):
            owners.setdefault(f.name, []).append(name)
            found[f.name] = _text(f), str if f.metadata["kind"] else _parser_of(hints[f.name])
    return {key: (f"{text} [{', '.join(owners[key])}]", parse) for key, (text, parse) in found.items()}


def _text(f: dataclasses.Field) -> str:
    choices = f.metadata["choices"]
    return (f.metadata["doc"] + (f": {', '.join(choices)}" if choices else "")).replace("%", "%%")


def _parser_of(hint: Any) -> Callable[[str], Any]:
    """From the words of a command line to a value of a field's type."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if any(typing.get_origin(o) is tuple for o in options):
        item = next(typing.get_args(o)[0] for o in options if typing.get_origin(o) is tuple)
        return _named(lambda word: tuple(item(w) for w in word.split(",") if w), f"comma-separated {item.__name__}")
    if bool in options:
        return _named(lambda word: {"true": True, "false": False}[word.lower()], "true or false")
    return next(o for o in (int, float, str) if o in options)


def _named(parse: Callable[[str], Any], name: str) -> Callable[[str], Any]:
    def call(word: str) -> Any:
        try:
            return parse(word)
        except (KeyError, ValueError) as fault:
            raise argparse.ArgumentTypeError(f"{word!r} is not {name}") from fault

    return call
