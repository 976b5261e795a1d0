"""Options of the command line, generated from the data keys and from the fields of parts and plan."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from .. import config, parts, presets
from ..errors import ConfigError, unknown
from ..fields import Field, fields
from ..keys import KEYWORDS, DataKeys
from ..presets import Preset

_COMMON = (  # options of a model in the short help
    *("corruption", "transform", "network", "bottleneck", "likelihood"),
    *("bottleneck_dim", "epochs", "max_steps", "batch_size", "lr"),
)


def add_keys(parser: argparse.ArgumentParser) -> None:
    """Add one option per data key."""
    group = parser.add_argument_group("data")
    for name, field in fields(DataKeys).items():
        several = {"nargs": "+"} if field.items == (str,) else {}
        group.add_argument(flag(name), default=argparse.SUPPRESS, metavar="KEY", help=field.doc, **several)  # type: ignore[arg-type]


def add_model_options(parser: argparse.ArgumentParser, default: str) -> None:
    """Add ``--preset`` or ``--config``, from which a model starts, and the options of :func:`add_fit_options`."""
    known = ", ".join(presets.names())
    start = parser.add_mutually_exclusive_group()
    parser.set_defaults(default_preset=default)
    start.add_argument("--preset", default=argparse.SUPPRESS, metavar="NAME", help=f"preset to start from: {known} ({default})")
    start.add_argument(
        "--config",
        default=argparse.SUPPRESS,
        metavar="FILE",
        help="JSON or YAML file to start from: with preset, spec and plan, or written by scae select",
    )
    parser.add_argument(
        "--checkpoint", default=argparse.SUPPRESS, metavar="FOLDER", help="save the fit there every minute, and when a signal "
        "ends it; the same command goes on from there",
    )  # fmt: skip
    add_fit_options(parser, presets.find(default))


def add_fit_options(parser: argparse.ArgumentParser, preset: Preset | None = None) -> None:
    """Add the data keys, the options of a run, and one option per kind of part and per field of the parts and of the plan.

    The help names the values of ``preset`` as the defaults.
    """
    add_keys(parser)
    run = parser.add_argument_group("run")
    run.add_argument("--device", default="auto", help="cpu, cuda or auto (auto)")
    run.add_argument("--random-state", type=int, default=argparse.SUPPRESS, help="seed (0)")
    run.add_argument(
        "--threads", type=int, help="number of threads (by default all that the scheduler grants for kernels, and one for torch)"
    )
    nested, groups = config.nested_kinds(), {}
    for name, option in config.model_options().items():
        kind = "training" if option.path[0] == "plan" else option.path[-2] if len(option.path) > 2 else name
        title = {"training": "training (other presets have other defaults)"} | {
            k: f"{k} (chosen with --{owner}-{k})" for k, owner in nested.items()
        }
        if kind not in groups:
            groups[kind] = parser.add_argument_group(title.get(kind, kind))
        chosen = option.field.kind is not None and option.path == ("spec", name)
        action = groups[kind].add_argument(
            flag(name),
            dest=f"option.{name}",
            default=argparse.SUPPRESS,
            type=_word(option.field),
            metavar="NAME" if chosen else _values(option.field),
            help=(f"one of: {', '.join(parts.names(name))}" if chosen else option.help).replace("%", "%%")
            + _default(preset, option.path),
        )
        action.expert = name not in _COMMON  # type: ignore[attr-defined]


def _values(field: Field) -> str:
    """What a field takes, in a word."""
    if field.choices and len(field.choices) <= 4:
        return "|".join("none" if choice is None else str(choice) for choice in field.choices)
    numbers = {bool: "true|false", int: "N", float: "X"}
    found = [word for kind, word in numbers.items() if kind in field.types]
    return found[-1] if found else "NxN" if field.items == (int,) else "V"


def _default(preset: Preset | None, path: tuple[str, ...]) -> str:
    """The value of a preset at a path, in brackets; nothing if its parts have no such field."""
    value: Any = preset
    for name in path:
        value = getattr(value, name, None)
    if value is None:
        return ""
    return f" ({value.name if hasattr(value, 'kind') else str(value).lower() if isinstance(value, bool) else value})"


def flag(name: str) -> str:
    """``batch_key`` as ``--batch-key``."""
    return f"--{name.replace('_', '-')}"


def _word(field: Field) -> Callable[[str], Any]:
    def parse(word: str) -> Any:
        try:
            return field.parse(word)
        except ConfigError as fault:  # the only error whose text argparse shows
            raise argparse.ArgumentTypeError(str(fault)) from fault

    return parse


def preset_from(args: argparse.Namespace) -> Preset:
    """The preset of ``--config`` or ``--preset``, changed by the other options."""
    given = vars(args)
    start = config.read_file(args.config) if "config" in given else presets.find(given.get("preset", args.default_preset))
    return with_options(start, args)


def with_options(base: Preset, args: argparse.Namespace) -> Preset:
    """A preset changed by the options for parts, fields and training."""
    options = {key.removeprefix("option."): value for key, value in vars(args).items() if key.startswith("option.")}
    return config.with_options(base, options)


def parse_option(name: str, word: str) -> Any:
    """The value of one option of a model, which is named with underscores.

    Raises
    ------
    MissingKeyError
        If there is no such option.
    ConfigError
        If the option does not take such a value.
    """
    known = config.model_options()
    if name not in known:
        raise unknown("option of a model", name.replace("_", "-"), [key.replace("_", "-") for key in known])
    try:
        return known[name].field.parse(word)
    except ConfigError as fault:
        raise ConfigError(f"{name.replace('_', '-')}={word} cannot be read: {fault}.") from fault


def key_options(args: argparse.Namespace) -> dict[str, Any]:
    """The data keys from the options."""
    return {name: value for name, value in vars(args).items() if name in KEYWORDS}


def fit_options(args: argparse.Namespace) -> dict[str, Any]:
    """The keywords of :func:`scae.tl.fit` from the options."""
    run = {name: value for name, value in vars(args).items() if name in ("device", "random_state", "checkpoint")}
    return key_options(args) | run | ({"progress": False} if args.quiet else {})


def refuse_fit_options(args: argparse.Namespace, *, drawn: bool = False) -> None:
    """Refuse the options of a fit where a fitted model is applied, as the Python verbs do; a draw takes ``--random-state``.

    Raises
    ------
    ConfigError
        If there are any but ``--layer``.
    """
    settled = {*KEYWORDS, "preset", "config", "random_state", "checkpoint", "save_model"} - {"layer"}
    settled -= {"random_state"} if drawn else set()
    named = [flag(name.removeprefix("option.")) for name in vars(args) if name in settled or name.startswith("option.")]
    if named:
        raise ConfigError(
            f"--model names a fitted model, which remembers its keys and is not fitted again: {', '.join(named)} cannot be "
            "given. Leave it out, or leave out --model to fit a model."
        )
