"""The catalogue of parts: frozen values with checked fields, found by kind and name, written to and read from plain dicts.

A part is one class with one decorator::

    @part("corruption", "masking")
    class Masking(Corruption):
        share: float = option("share of the stored counts set to zero", default=0.2, low=0, high=1)

The decorator makes it a frozen dataclass whose fields are checked when it is built, and enters it in the catalogue, from
which the CLI, JSON, the docs table and the tests over all combinations are drawn. Inside or outside the package makes no
difference.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass
from typing import Any, TypeVar

from .errors import ConfigError, unknown

T = TypeVar("T")
_catalogue: dict[str, dict[str, type]] = {}


def option(
    doc: str,
    *,
    default: Any = MISSING,
    low: float | None = None,
    high: float | None = None,
    choices: tuple | None = None,
    kind: str | None = None,
) -> Any:
    """A field of a part: its default, one line of help, and what values it may take.

    Parameters
    ----------
    doc
        One line, shown by the CLI and the docs table.
    default
        The value when none is given.
    low, high
        The closed range of a number, or of each number of a tuple.
    choices
        All values allowed.
    kind
        The field holds another part, of this kind.
    """
    return dataclasses.field(default=default, metadata={"doc": doc, "low": low, "high": high, "choices": choices, "kind": kind})


@typing.dataclass_transform(frozen_default=True, field_specifiers=(option,))
def record(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass whose :func:`option` fields are checked when it is built.

    Raises
    ------
    ConfigError
        On building a value with a field of the wrong type or outside its range.
    """
    own = cls.__dict__.get("__post_init__")

    def check(self: Any) -> None:
        hints = typing.get_type_hints(cls)
        for f in dataclasses.fields(self):
            value = _as_declared(getattr(self, f.name), hints[f.name])
            object.__setattr__(self, f.name, value)
            _check_field(cls, f, hints[f.name], value)
        if own is not None:
            own(self)

    cls.__post_init__ = check  # type: ignore[attr-defined]
    return dataclass(frozen=True)(cls)


@typing.dataclass_transform(frozen_default=True, field_specifiers=(option,))
def part(kind: str, name: str) -> Callable[[type[T]], type[T]]:
    """Enter a class in the catalogue as a :func:`record` under a kind and a name.

    Examples
    --------
    >>> @part("toy", "one")
    ... class One:
    ...     size: int = option("a size", default=1, low=1)
    >>> One(size=0)
    Traceback (most recent call last):
        ...
    scae.errors.ConfigError: toy 'one': size is 0; allowed: at least 1.
    """

    def enter(cls: type[T]) -> type[T]:
        cls.kind, cls.name = kind, name  # type: ignore[attr-defined]
        made = record(cls)
        _catalogue.setdefault(kind, {})[name] = made
        return made

    return enter


def kinds() -> tuple[str, ...]:
    """The kinds of parts that are in the catalogue."""
    return tuple(_catalogue)


def names(kind: str) -> tuple[str, ...]:
    """The names of the parts of a kind, sorted."""
    if kind not in _catalogue:
        raise unknown("kind of part", kind, _catalogue)
    return tuple(sorted(_catalogue[kind]))


def find(kind: str, name: str) -> type:
    """The class of a part.

    Raises
    ------
    MissingKeyError
        If there is no such part; lists those there are.
    """
    if name not in names(kind):
        raise unknown(kind, name, _catalogue[kind])
    return _catalogue[kind][name]


def summary(cls: type) -> str:
    """The first line of a part's docstring."""
    return (cls.__doc__ or "").strip().split("\n")[0]


def to_dict(value: Any) -> Any:
    """A record as plain dicts, lists, strings and numbers, fit for JSON; a part carries its name."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        head = {"name": vars(type(value))["name"]} if hasattr(type(value), "kind") else {}
        return head | {f.name: to_dict(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [to_dict(v) for v in value]
    if isinstance(value, Mapping):
        return {k: to_dict(v) for k, v in value.items()}
    return value


def from_dict(target: type[T] | str, given: Mapping[str, Any] | str) -> T:
    """A record from :func:`to_dict`'s plain form; missing fields take their defaults.

    Parameters
    ----------
    target
        A record class, or the kind of a part whose name ``given`` tells.
    given
        The plain form; for a part, its bare name will do.

    Raises
    ------
    MissingKeyError
        If a part or a field is not known.
    ConfigError
        If a value is not allowed, or a part is not named.
    """
    fields = {"name": given} if isinstance(given, str) else dict(given)
    if isinstance(target, str):
        if "name" not in fields:
            raise ConfigError(f"this {target} has no 'name'; known: {', '.join(names(target))}.")
        target = find(target, fields.pop("name"))
    declared = {f.name: f for f in dataclasses.fields(target)}  # type: ignore[arg-type]
    for key, value in fields.items():
        if key not in declared:
            raise unknown(f"field of {label(target)}", key, declared)
        kind = declared[key].metadata.get("kind")
        if kind is not None and isinstance(value, Mapping | str):
            fields[key] = from_dict(kind, value)
    return target(**fields)


def label(cls: type) -> str:
    """What messages call a record class: kind and name of a part, else the class's name."""
    return f"{cls.kind} {cls.name!r}" if hasattr(cls, "kind") else cls.__name__  # type: ignore[attr-defined]


def _as_declared(value: Any, hint: Any) -> Any:
    """Lists become tuples and whole numbers floats where the field says so: JSON knows neither."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if isinstance(value, list):
        return tuple(_as_declared(v, hint) if isinstance(v, list) else v for v in value)
    if isinstance(value, int) and not isinstance(value, bool) and float in options and int not in options:
        return float(value)
    return value


def _check_field(cls: type, f: dataclasses.Field, hint: Any, value: Any) -> None:
    m = f.metadata
    if not m:
        return
    if m["kind"] is not None:
        if getattr(type(value), "kind", None) != m["kind"]:
            raise ConfigError(f"{label(cls)}: {f.name} is {value!r}; allowed: a {m['kind']} ({', '.join(names(m['kind']))}).")
        return
    if m["choices"] is not None:
        if value not in m["choices"]:
            raise ConfigError(f"{label(cls)}: {f.name} is {value!r}; allowed: {', '.join(map(repr, m['choices']))}.")
        return
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    allowed = tuple(typing.get_origin(o) or o for o in options)
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        wanted = " or ".join("None" if o is type(None) else getattr(o, "__name__", str(o)) for o in allowed)
        raise ConfigError(f"{label(cls)}: {f.name} is {value!r}; allowed: {wanted}.")
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(value, tuple) and not any(_holds(o, number) for o in options):
            raise ConfigError(f"{label(cls)}: {f.name} holds {number!r}; allowed: {' or '.join(map(str, options))}.")
        _check_range(cls, f, number)


def _holds(hint: Any, element: Any) -> bool:
    """True if a tuple that is declared so may hold such an element."""
    allowed = tuple(typing.get_origin(o) or o for o in typing.get_args(hint) if o is not ...)
    allowed += (int,) if float in allowed else ()
    return isinstance(element, allowed) and (not isinstance(element, bool) or bool in allowed)


def _check_range(cls: type, f: dataclasses.Field, value: Any) -> None:
    low, high = f.metadata["low"], f.metadata["high"]
    if not isinstance(value, int | float) or isinstance(value, bool):
        return
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        bound = " and ".join(([f"at least {low}"] if low is not None else []) + ([f"at most {high}"] if high is not None else []))
        raise ConfigError(f"{label(cls)}: {f.name} is {value!r}; allowed: {bound}.")
