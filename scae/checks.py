"""Check that an AnnData holds raw counts and the columns that a model needs; every fit does this first. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from .errors import ConfigError, CountsError, GenesError, MatrixError, ScaeError, unknown
from .kernels import csr
from .keys import KEYWORDS, DataKeys, read_keys, spelled_out

_CHUNK = 1 << 22  # values examined at a time, to bound temporary memory


@dataclass(frozen=True)
class Finding:
    """One finding: an ``"error"`` (a fit raises ``error``), a ``"warning"`` (a fit warns) or a ``"note"`` (it does not)."""

    level: str
    message: str
    error: type[ScaeError] = CountsError


@dataclass
class Report:
    """The result of :func:`check`; printing it lists the findings, worst first.

    Attributes
    ----------
    about
        One line on the matrix: shape, place, format and dtype.
    findings
        All findings.
    """

    about: str
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether no finding is an error."""
        return not any(f.level == "error" for f in self.findings)

    @property
    def warnings(self) -> list[str]:
        """Messages of the warnings."""
        return [f.message for f in self.findings if f.level == "warning"]

    def raise_errors(self) -> None:
        """Raise the first error, if there is any."""
        for f in self.findings:
            if f.level == "error":
                raise f.error(f.message)

    def __str__(self) -> str:
        ordered = sorted(self.findings, key=lambda f: ("error", "warning", "note").index(f.level))
        lines = [f"{f.level}: {f.message}" for f in ordered] or ["no problems found"]
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
        known = ", ".join(map(repr, adata.layers)) or "none"
        raise CountsError(f"adata.X is None. Name the layer that holds counts. Layers: {known}.")
    if isinstance(x, np.ndarray) or sp.issparse(x):
        return x
    if hasattr(x, "to_memory"):  # backed sparse
        return x.to_memory()
    return np.asarray(x[:] if hasattr(x, "shape") and not hasattr(x, "compute") else x.compute())


@spelled_out(KEYWORDS)
def check(adata: AnnData, *, fractions: bool = False, **keys: Any) -> Report:
    """Check that a matrix holds raw counts, and that the columns for a model exist and are complete.

    Parameters
    ----------
    adata
        Cells × genes.
    fractions
        Accept values that are not whole numbers, for the likelihood ``quasi_nb`` or a model of already normalised values.
    %(keywords)s

    Returns
    -------
    Report
        ``report.ok`` is True if a fit accepts the data; ``print(report)`` shows what was found and what to do.

    Raises
    ------
    MissingKeyError
        If there is no such layer. Missing columns are findings.
    CountsError
        If ``X`` is to be checked and is None.
    TypeError
        If a keyword is unknown.

    Examples
    --------
    >>> import anndata, numpy
    >>> report = scae.check(anndata.AnnData(numpy.array([[1.0, 0.5]])))
    >>> print(str(report).split(" If ")[0])
    1 cells × 2 genes, X, dense float64
    error: X does not hold raw counts: 50.0 % of its values are not whole (e.g. 0.5). Pass raw counts. No layer holds raw counts.
    """
    return examine(adata, read_keys(keys), fractions=fractions)[0]


def examine(adata: AnnData, keys: DataKeys, *, fractions: bool = False) -> tuple[Report, Any]:
    """The report of :func:`check`, and the matrix that was checked, in memory."""
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
        repeated = ", ".join(adata.var_names[adata.var_names.duplicated()][:3])
        text = f"gene names are not unique (e.g. {repeated}). Call adata.var_names_make_unique()."
        findings.append(Finding("error", text, GenesError))
    if not adata.obs_names.is_unique:
        findings.append(Finding("warning", "cell names are not unique. Call adata.obs_names_make_unique()."))
    findings += _columns(adata, keys)
    if keys.mask_var is not None:
        findings += _mask(adata, keys.mask_var)
    return report, x


def gene_mask(adata: AnnData, mask_var: str | Sequence[bool] | None) -> NDArray[np.bool_]:
    """The genes to model, ``(genes,)`` bool; None chooses ``var["highly_variable"]`` if present, otherwise all genes.

    Raises
    ------
    MissingKeyError
        If there is no such column.
    ConfigError
        If the mask is not one bool per gene, or chooses no gene.
    """
    if mask_var is None:
        mask_var = "highly_variable" if "highly_variable" in adata.var else (True,) * adata.n_vars
    if isinstance(mask_var, str):
        if mask_var not in adata.var:
            raise unknown("var column", mask_var, adata.var.columns, hint="mask_var is a bool column of var, or an array.")
        mask_var = adata.var[mask_var].to_numpy()
    mask = np.asarray(mask_var)
    if mask.dtype != bool or mask.shape != (adata.n_vars,):
        raise ConfigError(f"mask_var has dtype {mask.dtype} and shape {mask.shape}; allowed: bool, ({adata.n_vars},).")
    if not mask.any():
        raise ConfigError("mask_var chooses no gene. Choose some, or pass an array of True to model all genes.")
    return mask


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
    """Whether every value is a finite, non-negative whole number."""
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
        text = f"{name} has {nan} NaN or infinite values. Remove those cells or genes. {_advice(adata, layer)}"
        yield Finding("error", text)
    elif negative:
        scaled = "; it looks scaled" if fractional else ""
        yield Finding("error", f"{name} has {negative} negative values{scaled}. Pass raw counts. {_advice(adata, layer)}")
    elif fractional:
        logs = largest < 20 and _log_normalized(x)
        if fractions and logs:
            text = (
                f"{name} looks log-normalised. Do not fit a likelihood of counts to it; 'gaussian' and 'student' fit such values."
            )
            yield Finding("warning", text)
        elif not fractions:
            looks = f", and {name} looks log-normalised" if logs else ""
            share = f"{100 * fractional / max(size, 1):.1f} % of its values are not whole (e.g. {example:.4g}){looks}"
            corrected = "" if logs else " If these are corrected counts, use the likelihood 'quasi_nb'."
            text = f"{name} does not hold raw counts: {share}. Pass raw counts. {_advice(adata, layer)}{corrected}"
            yield Finding("error", text)
    elif largest > 2**24:
        yield Finding("warning", f"{name} has counts up to {largest:.0f}; above 2^24, float32 does not hold every whole number.")


def _log_normalized(x: Any) -> bool:
    """Whether rows look like log1p of scaled counts: expm1 gives all the same total, or whole multiples of one number per row."""
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
    """A sentence that says where raw counts are, if anywhere."""
    places = [f"layer={key!r}" for key in adata.layers if key != layer and is_counts(matrix(adata, key))]
    if layer is not None and adata.X is not None and is_counts(matrix(adata, None)):
        places.append("layer=None (X)")
    if adata.raw is not None and is_counts(adata.raw.X[:]):
        places.append("adata.raw.to_adata() (.raw holds counts)")
    if places:
        return f"Raw counts are available: use {' or '.join(places)}."
    return "No layer holds raw counts." if adata.raw is None else "Neither a layer nor .raw holds raw counts."


def _emptiness(x: Any) -> Iterator[Finding]:
    for axis, what, effect in (
        (1, "cells", "they are not trained on, and their latent carries no information. Remove them with sc.pp.filter_cells"),
        (0, "genes", "they carry no information. Remove them with sc.pp.filter_genes"),
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
            yield Finding("error", f"obs[{key!r}] has {missing} missing values. Fill them in, or remove those cells.")
        elif key in numeric:
            yield from _numbers(adata.obs[key], key, positive=key == keys.size_factor)


def _numbers(column: pd.Series, key: str, *, positive: bool) -> Iterator[Finding]:
    if column.dtype.kind not in "iufb":
        text = f"obs[{key!r}] holds {column.dtype} values but must be numeric. Categories belong in categorical_covariates."
        yield Finding("error", text)
    elif not np.isfinite(column.to_numpy(float)).all():
        yield Finding("error", f"obs[{key!r}] has infinite values.")
    elif positive and not (column > 0).all():
        yield Finding("error", f"obs[{key!r}] must be above zero in every cell to be a size factor.")


def _mask(adata: AnnData, mask_var: str | Sequence[bool]) -> Iterator[Finding]:
    try:
        gene_mask(adata, mask_var)
    except ScaeError as fault:
        yield Finding("error", str(fault), type(fault))
