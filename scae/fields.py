"""Fields of records: their help, type and limits, and the reading of a value against them."""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
import re
import types
import typing
from collections.abc import Callable
from dataclasses import MISSING, dataclass
from typing import Any

from .errors import ConfigError

UNFIT = object()  # no alternative of the hint takes the value; None is a value
_WORDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "True or False", str: "text", types.NoneType: "None"}
_PLURALS: dict[Any, str] = {int: "whole numbers", float: "numbers", bool: "truth values", str: "names"}


@dataclass(frozen=True)
class Field:
    """What one field of a record may hold.

    Attributes
    ----------
    name
        The field's name.
    doc
        One line of help.
    hint
        The declared type.
    default
        The value when none is given; ``dataclasses.MISSING`` where one must be.
    low, high
        The closed range of a number, or of each number in a tuple; None for no bound.
    choices
        All values allowed; None where the type and range say it.
    kind
        The field holds another part, of this kind; None for a plain value.
    """

    name: str
    doc: str
    hint: Any
    default: Any
    low: float | None = None
    high: float | None = None
    choices: tuple | None = None
    kind: str | None = None

    @property
    def items(self) -> tuple[Any, ...]:
        """The types of a tuple's elements; empty where the field is not a tuple."""
        tuples = [hint for hint in alternatives(self.hint) if typing.get_origin(hint) is tuple]
        return tuple(dict.fromkeys(arg for hint in tuples for arg in typing.get_args(hint) if arg is not ...))

    def read(self, value: Any, where: str, build: Callable[..., Any]) -> Any:
        """A checked value from a value or its plain (JSON) form.

        Parameters
        ----------
        value
            What was given.
        where
            The path of the field, with which messages begin.
        build
            :func:`scae.parts.build`, for parts and records within.

        Raises
        ------
        ConfigError
            If the value is not allowed; the message says where.
        MissingKeyError
            If it names a part or a field that does not exist.
        """
        if self.kind is not None:
            return build(self.kind, value, where)
        if self.choices is not None:
            if value not in self.choices:
                raise ConfigError(f"{where} is {value!r}; allowed: {', '.join(map(repr, self.choices))}.")
            return value
        converted = convert(value, self.hint, lambda cls, plain: build(cls, plain, where))
        if converted is UNFIT:
            raise ConfigError(f"{where} is {value!r}; allowed: {in_words(self.hint)}.")
        if fault := outside(converted, self.low, self.high):
            raise ConfigError(f"{where} is {fault[0]!r}; allowed: {fault[1]}.")
        return converted

    def parse(self, word: str) -> Any:
        """The value that a word on the command line stands for; the numbers of a tuple are joined by ``,`` or ``x``.

        Raises
        ------
        ConfigError
            If the word is not such a value.
        """
        hints = alternatives(self.hint)
        if self.kind is not None:
            return word
        if types.NoneType in hints and word.lower() == "none":
            return None
        try:
            if self.items:
                return tuple(_parsed(w, self.items) for w in re.split("[,x]" if str not in self.items else ",", word) if w)
            return _parsed(word, hints)
        except (KeyError, ValueError) as fault:
            raise ConfigError(f"{word!r} is not {in_words(self.hint)}") from fault


def _parsed(word: str, hints: tuple[Any, ...]) -> Any:
    if bool in hints:
        return {"true": True, "false": False}[word.lower()]
    return next(hint for hint in (int, float, str) if hint in hints)(word)


def option(
    doc: str,
    *,
    default: Any = MISSING,
    low: float | None = None,
    high: float | None = None,
    choices: tuple | None = None,
    kind: str | None = None,
) -> Any:
    """A field of a part or record; the arguments are those of :class:`Field`."""
    return dataclasses.field(default=default, metadata={"doc": doc, "low": low, "high": high, "choices": choices, "kind": kind})


def fields(cls: Any) -> dict[str, Field]:
    """The fields of a record class by name: the only place that reads what a field is.

    Examples
    --------
    >>> from scae.corruptions import Masking
    >>> fields(Masking)["share"].high
    1.0
    """
    return _fields(cls)


@functools.cache
def _fields(cls: Any) -> dict[str, Field]:
    hints = typing.get_type_hints(cls)
    plain: dict[str, Any] = {"doc": ""}  # of a record's field that is no option
    declared = dataclasses.fields(cls)
    return {f.name: Field(name=f.name, hint=hints[f.name], default=f.default, **(f.metadata or plain)) for f in declared}


def alternatives(hint: Any) -> tuple[Any, ...]:
    """The types that a hint allows: the members of a union, or the one type."""
    return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)


def convert(value: Any, hint: Any, record: Callable[[type, Any], Any]) -> Any:
    """The value in the type that the hint declares, or :data:`UNFIT`.

    Lists become tuples, 8.0 a whole number and 8 a float where the hint says so; mappings become records.

    Parameters
    ----------
    value
        A value, or its JSON form.
    hint
        ``int``, ``float``, ``bool``, ``str``, None, a tuple of these, a dataclass, or a union.
    record
        Builds a dataclass from its plain form.

    Examples
    --------
    >>> convert([8.0, 4], tuple[int, ...], lambda cls, plain: plain)
    (8, 4)
    >>> convert(2.5, int | None, lambda cls, plain: plain) is UNFIT
    True
    """
    for alternative in alternatives(hint):
        converted = _convert(value, alternative, record)
        if converted is not UNFIT:
            return converted
    return UNFIT


def _convert(value: Any, hint: Any, record: Callable[[type, Any], Any]) -> Any:
    if typing.get_origin(hint) is tuple:
        return _tuple(value, typing.get_args(hint), record)
    if dataclasses.is_dataclass(hint):
        return record(typing.cast(type, hint), value)
    if hint is types.NoneType or hint is bool or hint is str:
        return value if isinstance(value, hint) else UNFIT
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return UNFIT
    if hint is float:
        return float(value)
    return int(value) if float(value).is_integer() else UNFIT  # type: ignore[call-overload]


def _tuple(value: Any, items: tuple[Any, ...], record: Callable[[type, Any], Any]) -> Any:
    if not isinstance(value, list | tuple):
        return UNFIT
    hints = items[:1] * len(value) if items[-1] is ... else items
    if len(hints) != len(value):
        return UNFIT
    converted = tuple(convert(v, hint, record) for v, hint in zip(value, hints, strict=True))
    return UNFIT if any(v is UNFIT for v in converted) else converted


def in_words(hint: Any) -> str:
    """What a hint allows, for messages.

    Examples
    --------
    >>> in_words(int | None), in_words(tuple[int, ...])
    ('a whole number or None', 'a list of whole numbers')
    """
    words = []
    for alternative in alternatives(hint):
        if typing.get_origin(alternative) is tuple:
            words.append(f"a list of {_PLURALS.get(typing.get_args(alternative)[0], 'values')}")
        else:
            words.append(_WORDS.get(alternative, getattr(alternative, "__name__", str(alternative))))
    return " or ".join(words)


def outside(value: Any, low: float | None, high: float | None) -> tuple[Any, str] | None:
    """The first number, of a number or a tuple, that is not finite or not in a closed range, and what is allowed."""
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, int | float) and not isinstance(number, bool):
            if not math.isfinite(number):
                return number, "finite numbers"
            if (low is not None and number < low) or (high is not None and number > high):
                bounds = [f"at least {low}"] * (low is not None) + [f"at most {high}"] * (high is not None)
                return number, " and ".join(bounds)
    return None
