"""The data keys: where in AnnData a fit finds its inputs; and the record of what it found."""

from __future__ import annotations

import inspect
import math
import textwrap
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from .errors import ConfigError, KindError
from .fields import Field, fields
from .parts import option, record

F = TypeVar("F", bound=Callable[..., Any])


@record
class DataKeys:
    """Where in AnnData the inputs of a fit are.

    Examples
    --------
    >>> DataKeys(batch_key="batch", categorical_covariates=("donor",)).categorical
    ('batch', 'donor')
    """

    layer: str | None = option(
        "layer that holds the counts; None for X or, if X does not hold counts, layers['counts']", default=None
    )
    batch_key: str | None = option("column of obs with the batch, which the latent should not reflect", default=None)
    categorical_covariates: tuple[str, ...] = option(
        "columns of obs with further categorical covariates, for encoder and decoder", default=()
    )
    continuous_covariates: tuple[str, ...] = option(
        "columns of obs with continuous covariates, for encoder and decoder", default=()
    )
    size_factor: str | None = option(
        "column of obs with the library size, in any unit; None for each cell's total over the modelled genes", default=None
    )
    label_key: str | None = option(
        "column of obs with cell labels, for a prior that uses labels; a missing value is an unknown label", default=None
    )
    mask_var: str | tuple[bool, ...] | None = option(
        "genes to model: a bool column of var, or one bool per gene; None for var['highly_variable'] if present, otherwise all",
        default=None,
    )

    @property
    def categorical(self) -> tuple[str, ...]:
        """All categorical covariates, the batch first."""
        batch = () if self.batch_key is None else (self.batch_key,)
        return tuple(dict.fromkeys((*batch, *self.categorical_covariates)))

    @property
    def further_categorical(self) -> tuple[str, ...]:
        """The categorical covariates apart from the batch."""
        return tuple(key for key in self.categorical if key != self.batch_key)


@record
class DataSpec:
    """What a model was fitted to: plain strings and numbers, kept and saved with it.

    Attributes
    ----------
    genes
        Names of the modelled genes, in the order of the weights.
    keys
        Where in AnnData the inputs were (``mask_var`` aside: ``genes`` says which genes are modelled).
    levels
        Levels of each categorical covariate, in the order of ``keys.categorical``: those of the batch first.
    moments
        Mean and standard deviation of each continuous covariate over the training cells.
    labels
        Levels of ``keys.label_key``.
    counts_per_unit
        Counts per unit of ``keys.size_factor``, so that a library size is always in counts.
    median_library
        Median library size of the training cells, counts; the unit of exposure of the ``exp`` and ``softplus`` links.
    order
        Positions of the genes along the genome, where the network asks for them; empty: as listed.
    breaks
        Positions in ``order`` at which a new chromosome begins.
    """

    genes: tuple[str, ...]
    keys: DataKeys = DataKeys()
    levels: tuple[tuple[str, ...], ...] = ()
    moments: tuple[tuple[float, float], ...] = ()
    labels: tuple[str, ...] = ()
    counts_per_unit: float = 1.0
    median_library: float = 1e4
    order: tuple[int, ...] = ()
    breaks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, values in (("genes", self.genes), ("labels", self.labels), *(("levels", levels) for levels in self.levels)):
            if len(set(values)) < len(values):
                raise ConfigError(f"DataSpec: {name} has {len(values) - len(set(values))} repeated names; allowed: each once.")
        sizes = {"levels": len(self.keys.categorical), "moments": len(self.keys.continuous_covariates)}
        for name, size in sizes.items():
            if len(getattr(self, name)) != size:
                raise ConfigError(f"DataSpec: {name} has {len(getattr(self, name))} entries; allowed: {size}, one for each key.")
        if not all(math.isfinite(mean) and 0 < sd < math.inf for mean, sd in self.moments):
            raise ConfigError(f"DataSpec: moments is {self.moments}; allowed: finite means, and standard deviations above 0.")
        for name in ("counts_per_unit", "median_library"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"DataSpec: {name} is {getattr(self, name)}; allowed: above 0.")
        if self.order and sorted(self.order) != list(range(self.n_genes)):
            raise ConfigError(f"DataSpec: order does not list each of the positions 0 to {self.n_genes - 1} once.")
        ends = (0, *self.breaks, self.n_genes)
        if self.breaks and any(a >= b for a, b in pairwise(ends)):
            raise ConfigError(f"DataSpec: breaks must rise, between 0 and the {self.n_genes} genes.")

    @property
    def n_genes(self) -> int:
        return len(self.genes)

    @property
    def batches(self) -> tuple[str, ...]:
        """Levels of the batch key; empty where there is none."""
        return () if self.keys.batch_key is None else self.levels[0]

    @property
    def n_batches(self) -> int:
        """Number of batches; one where there is no batch key."""
        return max(len(self.batches), 1)


Keyword = tuple[Any, str, str]  # default, type in words, help


def _keyword(field: Field) -> Keyword:
    words = {str: "str", tuple[str, ...]: "str or sequence of str", tuple[bool, ...]: "bool array"}
    kind = " or ".join(words[hint] for hint in field.types if hint in words)
    return field.default, kind + (", optional" if field.default is None else ""), field.doc


KEYWORDS: dict[str, Keyword] = {name: _keyword(field) for name, field in fields(DataKeys).items()}


def read_keys(keywords: Mapping[str, Any]) -> DataKeys:
    """The data keys from the keywords of a verb; a lone name and an array are accepted where a sequence is expected.

    Raises
    ------
    KindError
        If there is no such keyword (a ``TypeError``).
    ConfigError
        If a value is not a name, or ``mask_var`` is not one truth value per gene.
    """
    values = dict(keywords)
    for name in values:
        if name not in KEYWORDS:
            raise KindError(f"unexpected keyword argument {name!r}; the data keys are {', '.join(KEYWORDS)}.")
    for name in ("categorical_covariates", "continuous_covariates"):
        if name in values:
            given = values[name]
            if not isinstance(given, Iterable):
                raise ConfigError(f"{name} is {given!r}; allowed: names of columns of obs.")
            values[name] = (given,) if isinstance(given, str) else tuple(given)
    mask = values.get("mask_var")
    if mask is not None and not isinstance(mask, str):
        array = np.asarray(mask)
        if array.dtype != bool or array.ndim != 1:
            raise ConfigError(
                f"mask_var has dtype {array.dtype} and shape {array.shape}; allowed: the name of a var column, or bool (genes,)."
            )
        values["mask_var"] = tuple(array.tolist())
    return DataKeys(**values)


def spelled_out(keywords: Mapping[str, Keyword]) -> Callable[[F], F]:
    """Spell out the ``**keywords`` of a verb in its signature and, at the line ``%(keywords)s``, in its docstring.

    Parameters
    ----------
    keywords
        Default, type and one line of help by name.
    """

    def decorate(verb: F) -> F:
        signature = inspect.signature(verb)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        more = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=d) for name, (d, *_) in keywords.items()]
        verb.__signature__ = signature.replace(parameters=[*own, *more])  # type: ignore[attr-defined]
        lines = []
        for name, (_, kind, doc) in keywords.items():
            sentence = textwrap.fill(f"{doc[0].upper()}{doc[1:]}.", 112)
            lines.append(f"{name} : {kind}\n{textwrap.indent(sentence, ' ' * 8)}")
        verb.__doc__ = (verb.__doc__ or "").replace("%(keywords)s", "\n    ".join(lines))
        return verb

    return decorate
