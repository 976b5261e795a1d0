"""The catalogue of parts: frozen values with checked fields, found by kind and name, written to and read from plain dicts.

A part is one class with one decorator::

    @part("corruption", "masking")
    class Masking(Corruption):
        share: float = option("probability with which a nonzero count is set to zero", default=0.2, low=0, high=1)

The decorator makes it a frozen dataclass, checks its fields whenever one is built, and enters it in the catalogue. The command
line, configuration files, model files, the schema, the docs table and the tests over all combinations read the catalogue and
learn what a field is from :func:`fields`, so a part from outside the package works like one from inside.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.machinery
import importlib.util
import sys
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from .errors import ConfigError, MissingKeyError, unknown
from .fields import fields, option, read_fields

T = TypeVar("T")
_catalogue: dict[str, dict[str, type]] = {}
_PACKAGES = ("corruptions", "transforms", "networks", "bottlenecks", "priors", "likelihoods")  # where scae's own parts are


@typing.dataclass_transform(frozen_default=True, field_specifiers=(option,))
def record(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass whose fields are checked whenever a value is built.

    Raises
    ------
    ConfigError
        On building a value with a field of the wrong type or outside its range.
    """
    between_fields = cls.__dict__.get("__post_init__")

    def check(self: Any) -> None:
        for name, value in read_fields(cls, vars(self), f"{label(cls)}: ", build).items():
            object.__setattr__(self, name, value)
        if between_fields is not None:
            between_fields(self)

    cls.__post_init__ = check  # type: ignore[attr-defined]
    return dataclass(frozen=True)(cls)


@typing.dataclass_transform(frozen_default=True, field_specifiers=(option,))
def part(kind: str, name: str, *, needs: tuple[str, ...] = ()) -> Callable[[type[T]], type[T]]:
    """Enter a class in the catalogue as a :func:`record` under a kind and a name.

    Parameters
    ----------
    kind, name
        Where it is found.
    needs
        What a model of it must know beside counts and covariates: ``"labels"`` of cells, the ``"order"`` of genes along the
        genome.

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
        cls.kind, cls.name, cls.needs = kind, name, needs  # type: ignore[attr-defined]
        entered = record(cls)
        _catalogue.setdefault(kind, {})[name] = entered
        return entered

    return enter


@functools.cache
def _load() -> None:
    """Import scae's own parts, which enters them, so that the catalogue never depends on what was imported before.

    Then those of other packages, which name the modules that define them as entry points of the group ``scae.parts``.
    """
    for package in _PACKAGES:
        importlib.import_module(f"{__package__}.{package}")
    for entry in metadata.entry_points(group=f"{__package__}.parts"):
        try:
            entry.load()
        except Exception as fault:  # whatever another package raises
            said = f"the parts of the entry point {entry.name!r} ({entry.value}) are left out: {type(fault).__name__}: {fault}"
            warnings.warn(said, UserWarning, stacklevel=2)


def load_file(path: str | Path) -> None:
    """Run a Python file that defines parts, which enters them in the catalogue.

    Raises
    ------
    ConfigError
        If the file raises an error.
    FileNotFoundError
        If there is none.

    Examples
    --------
    >>> n = Path("my_parts.py").write_text("from scae.parts import part\\n@part('toy', 'mine')\\nclass Mine: pass\\n")
    >>> load_file("my_parts.py")
    >>> find("toy", "mine").name
    'mine'
    """
    place = Path(path)
    if not place.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    _load()
    name = f"scae_file_{place.stem}"
    spec = importlib.util.spec_from_loader(name, importlib.machinery.SourceFileLoader(name, str(place)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up the module of a class
    try:
        spec.loader.exec_module(module)
    except Exception as fault:  # whatever the file raises
        raise ConfigError(f"{path} cannot be imported ({type(fault).__name__}: {fault}).") from fault


def kinds() -> tuple[str, ...]:
    """The kinds of parts in the catalogue."""
    _load()
    return tuple(_catalogue)


def names(kind: str) -> tuple[str, ...]:
    """The names of the parts of a kind, sorted.

    Raises
    ------
    MissingKeyError
        If there is no such kind.

    Examples
    --------
    >>> "nb" in names("likelihood")
    True
    """
    if kind not in kinds():
        raise unknown("kind of part", kind, _catalogue)
    return tuple(sorted(_catalogue[kind]))


def of_kind(kind: str) -> dict[str, type]:
    """The classes of all parts of a kind by name, sorted."""
    return {name: _catalogue[kind][name] for name in names(kind)}


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


def label(cls: type) -> str:
    """What messages call a record class: kind and name of a part, otherwise the class's name."""
    return f"{cls.kind} {cls.name!r}" if _is_part(cls) else cls.__name__  # type: ignore[attr-defined]


def _is_part(cls: type) -> bool:
    return "kind" in vars(cls)


def inside(value: Any) -> Iterator[Any]:
    """The parts that a record holds, and theirs in turn."""
    for name, field in fields(type(value)).items():
        if field.kind is not None:
            held = getattr(value, name)
            yield held
            yield from inside(held)


def to_dict(value: Any) -> Any:
    """A record as plain dicts, lists, strings and numbers, fit for JSON; a part carries its name."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        head = {"name": vars(type(value))["name"]} if _is_part(type(value)) else {}
        return head | {f.name: to_dict(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [to_dict(v) for v in value]
    if isinstance(value, Mapping):
        return {k: to_dict(v) for k, v in value.items()}
    return value


def build(target: type | str, plain: Any, where: str = "", base: Any = None) -> Any:
    """A record from its plain form, the one that :func:`to_dict` gives; fields left out take their defaults.

    Parameters
    ----------
    target
        A record class, or a kind of part.
    plain
        A mapping of fields; for a part, with its ``name``, or the bare name. A finished record is returned as it is.
    where
        The path of this value, with which messages begin.
    base
        A record to change: fields left out are as it has them, unless ``plain`` names another part.

    Raises
    ------
    ConfigError
        If a value is not allowed, or a part is not named.
    MissingKeyError
        If a part or a field does not exist; lists those that do.

    Examples
    --------
    >>> build("corruption", {"name": "masking", "share": 0.5})
    Masking(share=0.5)
    """
    if isinstance(target, str):
        if getattr(type(plain), "kind", None) == target:
            return plain
        cls, values = _named(target, plain, where, base)
    elif isinstance(plain, target):
        return plain
    else:
        cls, values = target, _mapping(plain, where or label(target), "a mapping of fields")
    declared = fields(cls)
    start = {name: getattr(base, name) for name in declared} if type(base) is cls else {}
    for name in values:
        if name not in declared:
            raise located(where or label(cls), unknown("field", name, declared))
    start |= read_fields(cls, values, f"{where}." if where else f"{label(cls)}: ", build)
    missing = [name for name, field in declared.items() if field.default is MISSING and name not in start]
    if missing:
        raise ConfigError(f"{where or label(cls)} has no {' and no '.join(map(repr, missing))}.")
    try:
        return cls(**start)
    except ConfigError as fault:  # fields that contradict each other
        raise ConfigError(f"{where}.{str(fault).removeprefix(f'{label(cls)}: ')}" if where else str(fault)) from fault


def _named(kind: str, plain: Any, where: str, base: Any) -> tuple[type, dict[str, Any]]:
    """The class of a part that its plain form names, or that it changes, and its fields."""
    allowed = f"one of {', '.join(names(kind))}, or a mapping of fields"
    values = _mapping({"name": plain} if isinstance(plain, str) else plain, where or f"the {kind}", allowed)
    name = values.pop("name", None if base is None else type(base).name)
    if name is None:
        raise ConfigError(f"{where or f'the {kind}'} has no 'name'; allowed: {', '.join(names(kind))}.")
    if name not in names(kind):
        raise located(where, unknown(kind, name, names(kind)))
    return find(kind, name), values


def _mapping(plain: Any, where: str, allowed: str) -> dict[str, Any]:
    if not isinstance(plain, Mapping):
        raise ConfigError(f"{where} is {plain!r}; allowed: {allowed}.")
    return dict(plain)


def located(where: str, fault: MissingKeyError) -> MissingKeyError:
    """The error with the path of what it is about in front."""
    return MissingKeyError(f"{where}: {fault}") if where else fault
