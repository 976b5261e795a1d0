"""Check that an AnnData holds raw counts and the columns that a model needs; every fit does this first. Imports no torch."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from .errors import ConfigError, CountsError, GenesError, KindError, ScaeError, unknown
from .findings import Finding, confounding, emptiness, is_counts, lone_spikes, structure, values
from .io.advice import RAW
from .io.blocks import is_backed
from .keys import KEYWORDS, DataKeys, read_keys, spelled_out

COUNTS = "counts"  # the layer in which scae.pp and others keep counts


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
    return _in_memory(x)


def _in_memory(x: Any) -> Any:
    """A matrix that may be dask's or on disk, as an array or a sparse matrix."""
    if "dask.array" in sys.modules and isinstance(x, sys.modules["dask.array"].Array):
        x = x.compute()
    elif is_backed(x):
        x = x[:]
    return x if sp.issparse(x) else np.asarray(x)


def located(adata: AnnData, keys: DataKeys, *, fractions: bool = False, remembered: bool = False) -> tuple[DataKeys, str]:
    """The keys, with the layer in which the counts are, and what to say if that is not where they were looked for.

    Parameters
    ----------
    adata : AnnData
        Cells × genes.
    keys : DataKeys
        Without a layer, ``X`` is meant or, if it does not hold counts but ``layers["counts"]`` does, that.
    fractions : bool
        Whether values need not be whole numbers, so that ``X`` is used whatever it holds.
    remembered : bool
        Whether the layer is that of another AnnData, to which a model was fitted: without it, counts in ``X`` are used.
    """
    require_anndata(adata)
    layer, in_x = keys.layer, adata.X is not None
    if layer is None and COUNTS in adata.layers:
        if not (in_x and (fractions or is_counts(matrix(adata, None)))) and is_counts(matrix(adata, COUNTS)):
            said = f"{'X does not hold raw counts' if in_x else 'there is no X'}: layers[{COUNTS!r}] is used."
            return replace(keys, layer=COUNTS), said
    elif layer is not None and remembered and layer not in adata.layers and in_x and is_counts(matrix(adata, None)):
        return replace(keys, layer=None), f"there is no layers[{layer!r}], to which the model was fitted: X is used."
    return keys, ""


def require_anndata(adata: Any) -> None:
    """Refuse anything but an AnnData.

    Raises
    ------
    KindError
        If it is something else, such as a path.
    """
    if not isinstance(adata, AnnData):
        hint = "Read a file first, e.g. with scanpy.read_h5ad(path)."
        if hasattr(adata, "shape"):
            hint = "Wrap a matrix of cells × genes: anndata.AnnData(matrix)."
        raise KindError(f"adata is a {type(adata).__name__}; allowed: an AnnData. {hint}")


@spelled_out(KEYWORDS)
def check(adata: AnnData, *, fractions: bool = False, **keys: Any) -> Report:
    """Check that a matrix holds raw counts, and that the columns for a model exist and are complete.

    Parameters
    ----------
    adata : AnnData
        Cells × genes.
    fractions : bool
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
    found, said = located(adata, read_keys(keys), fractions=fractions)
    report, x = examine(adata, found, fractions=fractions)
    report.findings += [Finding("note", said)] if said else []
    if report.ok and not fractions:
        report.findings += batches(adata, x, found)
    return report


def examine(adata: AnnData, keys: DataKeys, *, fractions: bool = False) -> tuple[Report, Any]:
    """The report of :func:`check` on ``X`` or the layer that the keys name, and the matrix that was checked, in memory."""
    require_anndata(adata)
    x = matrix(adata, keys.layer)
    name = "X" if keys.layer is None else f"layers[{keys.layer!r}]"
    kind = f"{type(x).__name__} {x.dtype}" if sp.issparse(x) else f"dense {x.dtype}"
    report = Report(f"{adata.n_obs} cells × {adata.n_vars} genes, {name}, {kind}")
    findings = report.findings
    findings += structure(x, name)
    if report.ok:
        findings += values(x, name, fractions, lambda: _advice(adata, keys.layer))
    if report.ok:
        findings += emptiness(x)
    if report.ok and not fractions:
        findings += lone_spikes(x, adata.var_names)
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


def batches(adata: AnnData, x: Any, keys: DataKeys) -> Iterator[Finding]:
    """Findings on the batches of a matrix of counts in which :func:`examine` found no error."""
    if keys.batch_key is not None:
        genes = gene_mask(adata, keys.mask_var)
        chosen = x if genes.all() else x[:, genes]
        yield from confounding(chosen, adata.obs[keys.batch_key].astype(str).tolist(), f"obs[{keys.batch_key!r}]")


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


def _advice(adata: AnnData, layer: str | None) -> str:
    """A sentence that says where raw counts are, if anywhere."""
    places = [f"layer={key!r}" for key in adata.layers if key != layer and is_counts(matrix(adata, key))]
    if layer is not None and adata.X is not None and is_counts(matrix(adata, None)):
        places.append("layer=None (X)")
    if adata.raw is not None and is_counts(_in_memory(adata.raw.X)):
        places.append(f"{RAW} (.raw holds counts)")
    if places:
        return f"Raw counts are available: use {' or '.join(places)}."
    return "No layer holds raw counts." if adata.raw is None else "Neither a layer nor .raw holds raw counts."


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
        yield Finding("error", f"obs[{key!r}] has infinite values. Fill in finite ones, or remove those cells.")
    elif positive and not (column > 0).all():
        yield Finding("error", f"obs[{key!r}] must be above zero in every cell to be a size factor.")


def _mask(adata: AnnData, mask_var: str | Sequence[bool]) -> Iterator[Finding]:
    try:
        gene_mask(adata, mask_var)
    except ScaeError as fault:
        yield Finding("error", str(fault), type(fault))
