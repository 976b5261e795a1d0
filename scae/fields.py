"""Fields of records: their help, type and limits, and the reading of a value against them."""

from __future__ import annotations

import dataclasses
import math
import numbers
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass
from typing import Any, Literal

from .errors import ConfigError

_fields: dict[Any, dict[str, Field]] = {}  # read once per class
UNFIT = object()  # the hint does not take the value; None is a value
_UNIONS = (types.UnionType, typing.Union)  # a union with a Literal is of the second kind
_WORDS: dict[Any, tuple[str, str]] = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    bool: ("True or False", "truth values"),
    str: ("text", "names"),
    types.NoneType: ("None", ""),
}


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
    def types(self) -> tuple[Any, ...]:
        """The alternatives of the hint."""
        return typing.get_args(self.hint) if typing.get_origin(self.hint) in _UNIONS else (self.hint,)

    @property
    def items(self) -> tuple[Any, ...]:
        """The types of a tuple's elements; empty where the field is not a tuple."""
        tuples = [hint for hint in self.types if typing.get_origin(hint) is tuple]
        return tuple(dict.fromkeys(item for hint in tuples for item in typing.get_args(hint) if item is not ...))

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
            If the value is not allowed.
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
            raise ConfigError(f"{where} is {value!r}; allowed: {self.in_words()}.")
        for number in converted if isinstance(converted, tuple) else (converted,):
            if isinstance(number, int | float) and not isinstance(number, bool):
                self._check_range(number, where)
        return converted

    def _check_range(self, number: float, where: str) -> None:
        if not math.isfinite(number):
            raise ConfigError(f"{where} is {number!r}; allowed: finite numbers.")
        if (self.low is not None and number < self.low) or (self.high is not None and number > self.high):
            bounds = [f"at least {self.low}"] * (self.low is not None) + [f"at most {self.high}"] * (self.high is not None)
            raise ConfigError(f"{where} is {number!r}; allowed: {' and '.join(bounds)}.")

    def parse(self, word: str) -> Any:
        """The value that a word on the command line stands for; the numbers of a tuple are joined by ``,`` or ``x``.

        Raises
        ------
        ConfigError
            If the word is not such a value.
        """
        if self.kind is not None:
            return word
        if types.NoneType in self.types and word.lower() == "none":
            return None
        try:
            if self.items:
                return tuple(_parsed(w, self.items) for w in re.split("," if str in self.items else "[,x]", word) if w)
            return _parsed(word, self.types)
        except (KeyError, ValueError) as fault:
            raise ConfigError(f"{word!r} is not {self.in_words()}") from fault

    def in_words(self) -> str:
        """What the type allows, for messages: "a list of whole numbers or None"."""
        return " or ".join(map(_in_words, self.types))


def _in_words(hint: Any) -> str:
    if typing.get_origin(hint) is tuple:
        return f"a list of {_WORDS.get(typing.get_args(hint)[0], ('', 'values'))[1]}"
    if typing.get_origin(hint) is Literal:
        return " or ".join(map(repr, typing.get_args(hint)))
    return _WORDS.get(hint, (getattr(hint, "__name__", str(hint)), ""))[0]


def _parsed(word: str, hints: tuple[Any, ...]) -> Any:
    if any(word in typing.get_args(hint) for hint in hints if typing.get_origin(hint) is Literal):
        return word
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
    if cls not in _fields:
        hints = typing.get_type_hints(cls)
        plain: dict[str, Any] = {"doc": ""}  # a field of a record that is no option
        declared = dataclasses.fields(cls)
        _fields[cls] = {
            f.name: Field(name=f.name, hint=hints[f.name], default=f.default, **(f.metadata or plain)) for f in declared
        }
    return _fields[cls]


def read_fields(cls: Any, values: Mapping[str, Any], where: str, build: Callable[..., Any]) -> dict[str, Any]:
    """Checked values of some fields of a record class; the path of each is ``where`` and its name, see :meth:`Field.read`."""
    declared = fields(cls)
    return {name: declared[name].read(value, f"{where}{name}", build) for name, value in values.items()}


def convert(value: Any, hint: Any, record: Callable[[type, Any], Any]) -> Any:
    """The value in the type that the hint declares, or :data:`UNFIT`.

    Lists become tuples, 8.0 a whole number and 8 a float where the hint says so; mappings become records.

    Parameters
    ----------
    value
        A value, or its JSON form.
    hint
        ``int``, ``float``, ``bool``, ``str``, None, a ``Literal`` of texts, a tuple of these, a dataclass, or a union.
    record
        Builds a dataclass from its plain form.

    Examples
    --------
    >>> convert([8.0, 4], tuple[int, ...], lambda cls, plain: plain)
    (8, 4)
    >>> convert(2.5, int | None, lambda cls, plain: plain) is UNFIT
    True
    """
    if typing.get_origin(hint) in _UNIONS:
        fitting = (converted for h in typing.get_args(hint) if (converted := convert(value, h, record)) is not UNFIT)
        return next(fitting, UNFIT)
    if typing.get_origin(hint) is tuple:
        return _tuple(value, typing.get_args(hint), record)
    if typing.get_origin(hint) is Literal:
        return value if value in typing.get_args(hint) else UNFIT
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
    if items[-1] is ... and all(type(v) is items[0] for v in value):  # the usual case: thousands of gene names
        return tuple(value)
    hints = items[:1] * len(value) if items[-1] is ... else items
    if len(hints) != len(value):
        return UNFIT
    converted = tuple(convert(v, hint, record) for v, hint in zip(value, hints, strict=True))
    return UNFIT if any(v is UNFIT for v in converted) else converted
