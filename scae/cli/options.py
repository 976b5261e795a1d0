"""Options of the command line, from the data keys and from the fields of parts and plan."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from .. import config, parts, presets
from ..errors import ConfigError, unknown
from ..fields import Field, fields
from ..keys import KEYWORDS, DataKeys
from ..presets import Preset


def add_keys(parser: argparse.ArgumentParser) -> None:
    """One option per data key."""
    group = parser.add_argument_group("data")
    for name, field in fields(DataKeys).items():
        several = {"nargs": "+"} if field.items == (str,) else {}
        group.add_argument(flag(name), default=field.default, metavar="KEY", help=field.doc, **several)  # type: ignore[arg-type]


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
    """The data keys, where and how a fit runs, and one option per kind of part, per field of each part and of the plan."""
    add_keys(parser)
    run = parser.add_argument_group("run")
    run.add_argument("--device", default="auto", help="cpu, cuda or auto (auto)")
    run.add_argument("--random-state", type=int, default=0, help="seed (0)")
    run.add_argument("--threads", type=int, help="number of threads (what the scheduler grants)")
    nested, groups = config.nested_kinds(), {}
    for name, option in config.model_options().items():
        kind = "training" if option.path[0] == "plan" else option.path[-2] if len(option.path) > 2 else name
        title = {"training": "training (defaults: the preset's)"} | {
            k: f"{k} (--{owner}-{k} names it)" for k, owner in nested.items()
        }
        if kind not in groups:
            groups[kind] = parser.add_argument_group(title.get(kind, kind))
        chosen = option.field.kind is not None and option.path == ("spec", name)
        groups[kind].add_argument(
            flag(name),
            dest=f"option.{name}",
            default=argparse.SUPPRESS,
            type=_word(option.field),
            metavar="NAME" if chosen else "V",
            help=(f"one of: {', '.join(parts.names(name))}" if chosen else option.help).replace("%", "%%"),
        )


def flag(name: str) -> str:
    """``batch_key`` as ``--batch-key``."""
    return f"--{name.replace('_', '-')}"


def _word(field: Field) -> Callable[[str], Any]:
    def parse(word: str) -> Any:
        try:
            return field.parse(word)
        except ConfigError as fault:  # argparse shows the text of this error alone
            raise argparse.ArgumentTypeError(str(fault)) from fault

    return parse


def preset_from(args: argparse.Namespace) -> Preset:
    """The preset that ``--config`` or ``--preset`` names, with what the other options change."""
    return with_options(config.read_file(args.config) if args.config else presets.find(args.preset), args)


def with_options(base: Preset, args: argparse.Namespace) -> Preset:
    """A preset with the parts, fields and training that the options give."""
    options = {key.removeprefix("option."): value for key, value in vars(args).items() if key.startswith("option.")}
    return config.with_options(base, options)


def parse_option(name: str, word: str) -> Any:
    """The value of one option of a model, named with underscores.

    Raises
    ------
    MissingKeyError
        If there is no such option.
    ConfigError
        If the word is not such a value.
    """
    known = config.model_options()
    if name not in known:
        raise unknown("option of a model", name.replace("_", "-"), [key.replace("_", "-") for key in known])
    try:
        return known[name].field.parse(word)
    except ConfigError as fault:
        raise ConfigError(f"{name.replace('_', '-')}={word} cannot be read: {fault}.") from fault


def key_options(args: argparse.Namespace) -> dict[str, Any]:
    """The data keys that the options give."""
    return {name: getattr(args, name) for name in KEYWORDS}


def fit_options(args: argparse.Namespace) -> dict[str, Any]:
    """The keywords of :func:`scae.tl.fit` that the options give."""
    return key_options(args) | {"device": args.device, "random_state": args.random_state}
