"""Options of a model, derived from the fields of the parts: what a part takes, the command line takes."""

from __future__ import annotations

import argparse
import dataclasses
import types
import typing
from collections.abc import Callable
from typing import Any

from .. import config, parts, presets
from ..errors import ConfigError, unknown
from ..model import ModelSpec
from ..plan import TrainPlan
from ..presets import Preset


def add_model_options(parser: argparse.ArgumentParser, default: str) -> None:
    """Where a model starts, ``--preset`` or ``--config``, and what :func:`add_fit_options` adds."""
    known = ", ".join(presets.names())
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--preset", default=default, metavar="NAME", help=f"where to start: {known} ({default})")
    start.add_argument(
        "--config", metavar="FILE", help="start at the model in this JSON file: preset, spec, plan; or as scae select writes it"
    )
    add_fit_options(parser)


def add_fit_options(parser: argparse.ArgumentParser) -> None:
    """The data keys, one option for each kind of part, for each field of each part, and for the plan."""
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
        _add_fields(group, kind, f"spec.{kind}")
    for kind, owner in config.nested_kinds().items():
        _add_fields(parser.add_argument_group(f"{kind} (--{owner}-{kind} names it)"), kind, f"spec.{owner}.{kind}")
    plan = parser.add_argument_group("training (defaults: the preset's)")
    hints = typing.get_type_hints(TrainPlan)
    for f in dataclasses.fields(TrainPlan):
        flag = f"--{f.name.replace('_', '-')}"
        plan.add_argument(
            flag, dest=f"plan.{f.name}", default=argparse.SUPPRESS, type=_parser_of(hints[f.name]), metavar="V", help=_text(f)
        )


def preset_from(args: argparse.Namespace) -> Preset:
    """The preset that ``--config`` or ``--preset`` names, with what the other options change."""
    return with_given(config.read_file(args.config) if args.config else presets.find(args.preset), args)


def with_given(base: Preset, args: argparse.Namespace) -> Preset:
    """A preset with the parts, fields and training that the options give."""
    return config.changed_at(base, {tuple(key.split(".")): value for key, value in vars(args).items() if "." in key})


def parse_option(name: str, word: str) -> Any:
    """The value of one option of a model or plan, named as in :func:`scae.config.changed`; numbers of a tuple joined by x.

    Raises
    ------
    MissingKeyError
        If there is no such option.
    ConfigError
        If the word is not such a value.
    """
    hints = typing.get_type_hints(TrainPlan)
    known: dict[str, Callable[[str], Any]] = dict.fromkeys(_model_fields(), str)
    for kind in (*_model_fields(), *config.nested_kinds()):
        known |= {f"{kind}_{key}": parse for key, (_, parse) in _fields_of_kind(kind).items()}
    known |= {f.name: _parser_of(hints[f.name]) for f in dataclasses.fields(TrainPlan)}
    if name not in known:
        raise unknown("option of a model", name.replace("_", "-"), [key.replace("_", "-") for key in known])
    try:
        parse = known[name]
        return parse(word.replace("x", ",") if isinstance(parse, _Parser) and parse.several else word)
    except (ValueError, argparse.ArgumentTypeError) as fault:
        raise ConfigError(f"{name.replace('_', '-')}={word} cannot be read: {fault}.") from fault


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


def _add_fields(group: argparse._ArgumentGroup, kind: str, where: str) -> None:
    for name, (text, parse) in _fields_of_kind(kind).items():
        flag = f"--{kind}-{name.replace('_', '-')}"
        group.add_argument(flag, dest=f"{where}.{name}", default=argparse.SUPPRESS, type=parse, metavar="V", help=text)


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
        return _Parser(
            lambda word: tuple(item(w) for w in word.split(",") if w), f"comma-separated {item.__name__}", several=True
        )
    if bool in options:
        return _Parser(lambda word: {"true": True, "false": False}[word.lower()], "true or false")
    return next(o for o in (int, float, str) if o in options)


@dataclasses.dataclass(frozen=True)
class _Parser:
    """What argparse calls on a word, and what it says where the word will not do."""

    parse: Callable[[str], Any]
    name: str
    several: bool = False

    def __call__(self, word: str) -> Any:
        try:
            return self.parse(word)
        except (KeyError, ValueError) as fault:
            raise argparse.ArgumentTypeError(f"{word!r} is not {self.name}") from fault
