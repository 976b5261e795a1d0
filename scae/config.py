"""The model part of a configuration: a preset, and what is changed of its parts and of its plan.

Its schema (:mod:`scae.schema`), its reader and the options of the command line all come from the catalogue of parts. A
configuration is plain JSON (or YAML, read by someone else)::

    {"preset": "vae", "spec": {"bottleneck": {"dim": 20}, "likelihood": "poisson"}, "plan": {"epochs": 50}}

A part under ``spec`` is a bare name or its fields. Without ``name`` the fields are those of the preset's own part. Fields that
are not given stay as the preset has them; where ``name`` is another part, they take its defaults.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import parts, presets
from .errors import ConfigError, ModelFileError, unknown
from .fields import Field, fields
from .model import ModelSpec
from .parts import build, located, to_dict
from .plan import TrainPlan
from .presets import Preset

_KEYS = ("preset", "spec", "plan", "genes", "n_genes", "paper", "name", "reason")  # the last two are for readers of the file
_N_GENES = Field("n_genes", "", int, 0, low=0)


def read_config(config: Mapping[str, Any], *, default: str = "vae", where: str = "") -> Preset:
    """The preset that a configuration's model part describes.

    Parameters
    ----------
    config : dict
        ``preset`` (a name), ``spec`` (kind of part → name or fields) and ``plan`` (fields of :class:`TrainPlan`); each may
        be left out. The plain form of a preset, and what ``scae select`` writes, are such configurations too.
    default : str
        The preset where none is named.
    where : str
        Put before the path in messages, e.g. ``"model."``.

    Raises
    ------
    ConfigError
        If a value is not allowed; the message begins with its path. If ``scae select`` chose nothing; it says why.
    MissingKeyError
        If a preset, part or field is not known; lists those that are.

    Examples
    --------
    >>> read_config({"preset": "scvi", "spec": {"bottleneck": {"dim": 20}}}).spec.bottleneck.dim
    20
    >>> read_config({"spec": {"bottleneck": {"dim": -3}}}, where="model.")
    Traceback (most recent call last):
        ...
    scae.errors.ConfigError: model.spec.bottleneck.dim is -3; allowed: at least 1.
    """
    _check_keys(config, _KEYS, where.rstrip(". ") or "the configuration")
    if config.get("reason") and not config.get("name"):
        raise ConfigError(f"{where}no model was chosen. {config['reason']}")
    name = config.get("preset", default)
    if name not in tuple(presets.names()):
        raise located(f"{where}preset", unknown("preset", name, presets.names()))
    preset = change(presets.find(name), config.get("spec"), config.get("plan"), where=where)
    if "genes" in config:
        first = None if config["genes"] is None else read_config(config["genes"], where=f"{where}genes.")
        preset = dataclasses.replace(preset, genes=first)
    n_genes = _N_GENES.read(config.get("n_genes", preset.n_genes), f"{where}n_genes", build)
    return dataclasses.replace(preset, n_genes=n_genes, paper=str(config.get("paper", preset.paper)))


def read_file(path: str | Path) -> Preset:
    """The preset that a JSON or YAML file (named ``.yaml`` or ``.yml``) describes; see :func:`read_config`.

    Raises
    ------
    ModelFileError
        If it is not JSON or YAML, or not a mapping.
    ConfigError
        As :func:`read_config`.
    FileNotFoundError
        If there is none.

    Examples
    --------
    >>> n = Path("model.json").write_text('{"preset": "dca"}')
    >>> read_file("model.json") == presets.find("dca")
    True
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    try:
        config = _parsed(Path(path))
    except ValueError as fault:
        raise ModelFileError(f"{path} is not JSON ({fault}). A file of YAML must be named .yaml or .yml.") from fault
    if not isinstance(config, dict):
        raise ModelFileError(f"{path} holds {config!r:.40}; allowed: a mapping of {', '.join(_KEYS)}.")
    return read_config(config, where=f"{path}: ")


def _parsed(path: Path) -> Any:
    """What a file of JSON or YAML holds."""
    text = path.read_text("utf-8")
    if path.suffix.lower() not in (".yaml", ".yml"):
        return json.loads(text)
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as fault:
        raise ModelFileError(f"{path} is not YAML ({' '.join(str(fault).split())}).") from fault


def change(base: Preset, spec: Mapping[str, Any] | None, plan: Mapping[str, Any] | None, *, where: str = "") -> Preset:
    """A preset with some fields of its parts and of its plan changed; see :func:`read_config`.

    Raises
    ------
    ScaeError
        As :func:`read_config`.

    Examples
    --------
    >>> change(presets.find("vae"), {"likelihood": "poisson"}, {"epochs": 3}).spec.likelihood.name
    'poisson'
    """
    kinds = _kinds()
    _check_keys({} if spec is None else spec, kinds, f"{where}spec")
    changed = {
        key: build(kinds[key], value, f"{where}spec.{key}", getattr(base.spec, key)) for key, value in (spec or {}).items()
    }
    new_plan = build(TrainPlan, {} if plan is None else plan, f"{where}plan", base.plan)
    return dataclasses.replace(base, spec=dataclasses.replace(base.spec, **changed), plan=new_plan)


def _check_keys(config: Any, known: Iterable[str], where: str) -> None:
    if not isinstance(config, Mapping):
        raise ConfigError(f"{where} is {config!r}; allowed: a mapping of {', '.join(known)}.")
    for key in config:
        if key not in known:
            raise located(where, unknown("key", key, known))


@dataclass(frozen=True)
class ModelOption:
    """One option of a model, as on the command line.

    Attributes
    ----------
    path
        Where it stands in a configuration, such as ``("spec", "bottleneck", "dim")``.
    field
        What it may hold.
    owners
        The parts that have it; empty for a part itself and for the plan.
    """

    path: tuple[str, ...]
    field: Field
    owners: tuple[str, ...] = ()

    @property
    def help(self) -> str:
        """One line: what it is, its choices, the parts that have it."""
        choices = f": {', '.join(self.field.choices)}" if self.field.choices else ""
        return self.field.doc + choices + (f" [{', '.join(self.owners)}]" if self.owners else "")


def model_options() -> dict[str, ModelOption]:
    """Every option of a model by its name on the command line, with underscores.

    Examples
    --------
    >>> model_options()["bottleneck_dim"].path
    ('spec', 'bottleneck', 'dim')
    """
    found: dict[str, ModelOption] = {}
    for key, kind in _kinds().items():
        found[key] = ModelOption(("spec", key), fields(ModelSpec)[key])
        found |= _options_of_kind(kind, ("spec", key))
    for kind, owner in nested_kinds().items():
        found |= _options_of_kind(kind, ("spec", owner, kind))
    return found | {name: ModelOption(("plan", name), field) for name, field in fields(TrainPlan).items()}


def _options_of_kind(kind: str, path: tuple[str, ...]) -> dict[str, ModelOption]:
    """The fields of all parts of a kind; parts share the options that they have in common."""
    owners: dict[str, list[str]] = {}
    found: dict[str, Field] = {}
    for part, cls in parts.of_kind(kind).items():
        for name, field in fields(cls).items():
            owners.setdefault(name, []).append(part)
            found[name] = field
    return {f"{kind}_{name}": ModelOption((*path, name), field, tuple(owners[name])) for name, field in found.items()}


def with_options(base: Preset, options: Mapping[str, Any]) -> Preset:
    """A preset with some options changed, named as on the command line with underscores.

    Parameters
    ----------
    base : Preset
        Where to start.
    options : dict
        Values by name: a kind of part (``likelihood``), a field of that part (``bottleneck_dim``), a field of the plan
        (``epochs``). A part with another name starts at its own defaults.

    Raises
    ------
    MissingKeyError
        If there is no such option, or the part that the preset has lacks the field.
    ConfigError
        If a value is not allowed.

    Examples
    --------
    >>> with_options(presets.find("denoiser"), {"bottleneck_dim": 8, "epochs": 3}).spec.bottleneck.dim
    8
    """
    known = model_options()
    config: dict[str, Any] = {"spec": {}, "plan": {}}
    for name, value in options.items():
        if name not in known:
            raise unknown("option of a model", name, known)
        _put(config, known[name].path, value)
    for kind, owner in nested_kinds().items():
        changed = config["spec"].get(owner)
        inner = changed.get(kind) if isinstance(changed, dict) else None
        own = getattr(getattr(base.spec, owner), kind, None)
        if own is not None and isinstance(inner, dict) and "name" not in inner:
            changed[kind] = to_dict(own) | inner  # the option is one of the part that the preset has
    return change(base, config["spec"], config["plan"])


def _put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Enter a value in nested mappings; a part that is named and has fields becomes a mapping with both."""
    for step in path[:-1]:
        inner = tree.get(step, {})
        tree[step] = {"name": inner} if isinstance(inner, str) else inner
        tree = tree[step]
    if isinstance(tree.get(path[-1]), dict):
        tree[path[-1]]["name"] = value
    else:
        tree[path[-1]] = value


def _kinds() -> dict[str, str]:
    """The kind of part at each place of a model."""
    return {name: field.kind for name, field in fields(ModelSpec).items() if field.kind is not None}


def nested_kinds() -> dict[str, str]:
    """Kinds of parts that are fields of other parts (under the name of their kind), with the kind of their owner."""
    owners: dict[str, str] = {}
    for owner in _kinds().values():
        for cls in parts.of_kind(owner).values():
            nested = [field.kind for field in fields(cls).values() if field.kind is not None]
            owners |= dict.fromkeys(nested, owner)
    return owners
