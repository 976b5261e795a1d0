"""Is this AnnData fit for a count model? Every verb asks here first, and so may the user. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from .errors import CountsError, GenesError, MatrixError, ScaeError, unknown
from .kernels import csr
from .keys import KEYWORDS, DataKeys, read_keys, spelled_out

_CHUNK = 1 << 22  # values looked at together: bounds the temporaries


@dataclass(frozen=True)
class Finding:
    """One thing that was noticed: ``level`` is ``"error"`` (verbs refuse), ``"warning"`` (verbs go on) or ``"note"``."""

    level: str
    message: str
    error: type[ScaeError] = CountsError


@dataclass
class Report:
    """What :func:`check` found, worst first; prints as a short text."""

    about: str
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True where no finding is an error."""
        return not any(f.level == "error" for f in self.findings)

    @property
    def warnings(self) -> list[str]:
        return [f.message for f in self.findings if f.level == "warning"]

    def raise_errors(self) -> None:
        """Raise the first error, if there is one."""
        for f in self.findings:
            if f.level == "error":
                raise f.error(f.message)

    def __str__(self) -> str:
        ordered = sorted(self.findings, key=lambda f: ("error", "warning", "note").index(f.level))
        lines = [f"{f.level}: {f.message}" for f in ordered] or ["raw counts; nothing to object to"]
        return "\n".join([self.about, *lines])

    __repr__ = __str__


def matrix(adata: AnnData, layer: str | None) -> Any:
    """``X`` or a layer, in memory.

    Raises
    ------
    MissingKeyError
        If there is no such layer.
    CountsError
        If there is no ``X``.
    """
    if layer is not None and layer not in adata.layers:
        raise unknown("layer", layer, adata.layers, hint="Counts may also be in X (layer=None).")
    x = adata.X if layer is None else adata.layers[layer]
    if x is None:
        known = ", ".join(map(repr, adata.layers)) or "there is none"
        raise CountsError(f"adata.X is None. Name the layer that holds counts: {known}.")
    if isinstance(x, np.ndarray) or sp.issparse(x):
        return x
    if hasattr(x, "to_memory"):  # backed sparse
        return x.to_memory()
    return np.asarray(x[:] if hasattr(x, "shape") and not hasattr(x, "compute") else x.compute())


@spelled_out(KEYWORDS)
def check(adata: AnnData, *, fractions: bool = False, **keys: Any) -> Report:
    """Whether a matrix holds raw counts, and whether the columns that a model is to use are there and complete.

    Parameters
    ----------
    adata
        Cells × genes.
    fractions
        Values need not be whole: for the likelihood ``quasi_nb``, or for a model of values that were normalised before.
    %(keywords)s

    Returns
    -------
    Report
        ``report.ok`` says whether the verbs accept it; ``print(report)`` says why not and what to do.

    Raises
    ------
    MissingKeyError
        If the layer is not there.

    Examples
    --------
    >>> import anndata, numpy
    >>> report = scae.check(anndata.AnnData(numpy.array([[1.0, 0.5]])))
    >>> print(str(report).split(" If ")[0])
    1 cells × 2 genes, X, dense float64
    error: X does not hold raw counts: 50.0 % of its values are not whole (e.g. 0.5). Pass raw counts; no layer holds any.
    """
    return examine(adata, read_keys(keys), fractions=fractions)[0]


def examine(adata: AnnData, keys: DataKeys, *, fractions: bool = False) -> tuple[Report, Any]:
    """What :func:`check` reports, and the matrix it looked at, in memory."""
    x = matrix(adata, keys.layer)
    name = "X" if keys.layer is None else f"layers[{keys.layer!r}]"
    kind = f"{type(x).__name__} {x.dtype}" if sp.issparse(x) else f"dense {x.dtype}"
    report = Report(f"{adata.n_obs} cells × {adata.n_vars} genes, {name}, {kind}")
    findings = report.findings
    findings += _structure(x, name)
    if report.ok:
        findings += _values(adata, x, name, keys.layer, fractions)
    if report.ok:
        findings += _emptiness(x)
    if not adata.var_names.is_unique:
        twice = ", ".join(adata.var_names[adata.var_names.duplicated()][:3])
        text = f"gene names are not unique (e.g. {twice}). Call adata.var_names_make_unique()."
        findings.append(Finding("error", text, GenesError))
    if not adata.obs_names.is_unique:
        findings.append(Finding("warning", "cell names are not unique. Call adata.obs_names_make_unique()."))
    findings += _columns(adata, keys)
    return report, x


def _structure(x: Any, name: str) -> Iterator[Finding]:
    if 0 in x.shape:
        yield Finding("error", f"{name} has shape {x.shape[0]} × {x.shape[1]}: there is nothing to fit.")
    if x.dtype.kind not in "iufb":
        yield Finding("error", f"{name} holds {x.dtype} values. Counts must be whole numbers, stored as integers or floats.")
    if sp.issparse(x) and x.format in ("csr", "csc"):
        try:
            csr.validate(x.indptr, x.indices, x.data, x.shape[1] if x.format == "csr" else x.shape[0])
        except MatrixError as fault:
            yield Finding("error", f"{name}: {fault}", MatrixError)


def _chunks(x: Any) -> Iterator[NDArray]:
    data = x.data if sp.issparse(x) else x.reshape(-1)
    for start in range(0, data.size, _CHUNK):
        yield data[start : start + _CHUNK]


def is_counts(x: Any) -> bool:
    """True if every value is a finite whole number from zero."""
    if x.dtype.kind in "ub":
        return True
    return all(bool(((c >= 0) & (c == np.rint(c)) & (c < np.inf)).all()) for c in _chunks(x))


def _values(adata: AnnData, x: Any, name: str, layer: str | None, fractions: bool) -> Iterator[Finding]:
    size = nan = negative = fractional = 0
    largest, example = 0.0, 0.0
    for c in _chunks(x):
        size += c.size
        bad = ~np.isfinite(c) if c.dtype.kind == "f" else np.zeros(c.shape, bool)
        nan += int(bad.sum())
        negative += int((c < 0).sum())
        part = (c != np.rint(c)) & ~bad if c.dtype.kind == "f" else bad
        fractional += int(part.sum())
        example = float(c[part][0]) if example == 0 and part.any() else example
        largest = max(largest, float(np.max(c, initial=0, where=~bad)))
    if nan:
        text = f"{name} has {nan} NaN or infinite values. Remove those cells or genes; {_advice(adata, layer)}."
        yield Finding("error", text)
    elif negative:
        scaled = "; it looks scaled" if fractional else ""
        yield Finding("error", f"{name} has {negative} negative values{scaled}. Pass raw counts; {_advice(adata, layer)}.")
    elif fractional:
        logs = largest < 20 and _log_normalized(x)
        if fractions and logs:
            yield Finding("warning", f"{name} looks log-normalised: right for a model of its input, wrong for one of counts.")
        elif not fractions:
            looks = f", and {name} looks log-normalised" if logs else ""
            share = f"{100 * fractional / max(size, 1):.1f} % of its values are not whole (e.g. {example:.4g}){looks}"
            corrected = "" if logs else " If they are counts after a correction, fit the likelihood 'quasi_nb'."
            text = f"{name} does not hold raw counts: {share}. Pass raw counts; {_advice(adata, layer)}.{corrected}"
            yield Finding("error", text)
    elif largest > 2**24:
        yield Finding(
            "warning", f"{name} has counts up to {largest:.0f}; above 2^24 float32 cannot tell neighbouring counts apart."
        )


def _log_normalized(x: Any) -> bool:
    """True if expm1 of the rows have one total, or are whole multiples of one number: log1p of scaled counts."""
    rows = sp.csr_matrix(x[: min(200, x.shape[0])]).astype(np.float64)
    rows.data = np.expm1(rows.data)
    totals = np.asarray(rows.sum(1)).ravel()
    totals = totals[totals > 0]
    if totals.size > 1 and totals.std() < 0.01 * totals.mean():
        return True
    parts = [r[r > 0] for r in np.split(rows.data, rows.indptr[1:-1])]
    off = [np.abs(p / p.min() - np.rint(p / p.min())).mean() for p in parts if p.size > 1]
    return bool(off) and float(np.median(off)) < 0.05


def _advice(adata: AnnData, layer: str | None) -> str:
    """Where counts are, if they are anywhere."""
    places = [f"layer={key!r}" for key in adata.layers if key != layer and is_counts(matrix(adata, key))]
    if layer is not None and adata.X is not None and is_counts(matrix(adata, None)):
        places.append("layer=None (X)")
    if adata.raw is not None and is_counts(adata.raw.X[:]):
        places.append("adata.raw.to_adata() (.raw holds counts)")
    if places:
        return f"counts are there: use {' or '.join(places)}"
    return "no layer holds any" if adata.raw is None else "no layer holds any, nor does .raw"


def _emptiness(x: Any) -> Iterator[Finding]:
    for axis, what, effect in (
        (1, "cells", "they are not trained on, and their latent is that of no information. Remove them with sc.pp.filter_cells"),
        (0, "genes", "they tell nothing. Remove them with sc.pp.filter_genes"),
    ):
        empty = int((np.asarray(x.sum(axis=axis)).ravel() == 0).sum())
        if empty:
            yield Finding("warning" if axis else "note", f"{what} without counts: {empty}; {effect}.")


def _columns(adata: AnnData, keys: DataKeys) -> Iterator[Finding]:
    numeric = [*keys.continuous_covariates, *([keys.size_factor] if keys.size_factor else [])]
    for key in [*keys.categorical, *numeric, *([keys.label_key] if keys.label_key else [])]:
        if key not in adata.obs:
            error = unknown("obs column", key, adata.obs.columns)
            yield Finding("error", str(error), type(error))
        elif key != keys.label_key and adata.obs[key].isna().any():
            missing = int(adata.obs[key].isna().sum())
            yield Finding("error", f"obs[{key!r}] has {missing} missing values. Fill them, or remove those cells.")
        elif key in numeric:
            yield from _numbers(adata.obs[key], key, positive=key == keys.size_factor)


def _numbers(column: pd.Series, key: str, *, positive: bool) -> Iterator[Finding]:
    if column.dtype.kind not in "iufb":
        text = f"obs[{key!r}] holds {column.dtype} values, and must be numeric. Is it a categorical covariate?"
        yield Finding("error", text)
    elif not np.isfinite(column.to_numpy(float)).all():
        yield Finding("error", f"obs[{key!r}] has infinite values.")
    elif positive and not (column > 0).all():
        yield Finding("error", f"obs[{key!r}] must be above zero everywhere to serve as a size factor.")
