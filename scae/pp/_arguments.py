"""Checks of arguments. Each says what was given, what is allowed and what to do, before anything is changed."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from ..errors import ConfigError, CountsError, KindError, MatrixError, unknown
from ..written import record, record_of

FLAVORS = ("seurat", "cell_ranger", "seurat_v3", "seurat_v3_paper", "pearson_residuals")
_TRUTH = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


class BackedError(MatrixError, NotImplementedError):
    """The matrix is in a file or a dask array, but the verb needs it in memory."""


class TopGenesError(ConfigError, IndexError):
    """A number of top genes is below 1 or larger than the number of genes."""


def wrong_kind(value: object, verb: str, wanted: str = "an AnnData object") -> KindError:
    """Return the error for an argument of the wrong type."""
    if isinstance(value, str | os.PathLike):
        hint = "Read the file first, e.g. with anndata.read_h5ad, or use `scae preprocess` to process a file."
    elif hasattr(value, "shape"):
        hint = "Wrap a matrix of cells × genes as anndata.AnnData(matrix)."
    else:
        hint = "Read one from a file, e.g. with anndata.read_h5ad."
    return KindError(f"{verb} needs {wanted}, but was given {type(value).__name__} {str(value)[:60]!r}. {hint}")


def need_anndata(adata: object, verb: str) -> None:
    """Raise :class:`KindError` unless ``adata`` is an AnnData object."""
    if not isinstance(adata, AnnData):
        raise wrong_kind(adata, verb)


def backed(verb: str, kind: str = "the matrix is in a file") -> BackedError:
    """Return the error of a verb that needs a matrix in memory."""
    return BackedError(
        f"{verb} needs a matrix in memory, but {kind}. Load it first, e.g. with adata.to_memory(). "
        "To process a large file, use `scae preprocess`."
    )


def refuse_backed_change(adata: AnnData, verb: str, *, whole: bool) -> None:
    """Raise :class:`BackedError` if a change would need a copy of a backed object: a view of one or, with ``whole``, any."""
    if adata.isbacked and (whole or adata.is_view):
        raise backed(verb, "the AnnData object is backed by a file")


def shown(value: object) -> str:
    """Return the value as Python writes it; a NumPy scalar without its type."""
    return repr(value.item() if isinstance(value, np.generic) else value)


def is_whole(value: Any) -> bool:
    """Tell whether the value is a whole number; True and False are not numbers."""
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return bool(number and np.isfinite(value) and value == int(value))


def need_whole(name: str, value: Any, least: int) -> int:
    """Return a whole number.

    Raises
    ------
    ConfigError
        If the value is not a whole number of at least ``least``.
    """
    if not is_whole(value) or value < least:
        raise ConfigError(f"{name} is {shown(value)}. Give a whole number of at least {least}.")
    return int(value)


def need_number(name: str, value: Any, *, above: float = -np.inf, least: float = -np.inf, most: float = np.inf) -> float:
    """Return a number that is above ``above``, at least ``least`` and at most ``most``.

    Raises
    ------
    ConfigError
        If the value is not such a number; NaN never is.
    """
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not number or not (value > above and least <= value <= most):
        limits = [f"above {above:g}"] * (above > -np.inf) + [f"of at least {least:g}"] * (least > -np.inf)
        limits += [f"of at most {most:g}"] * (most < np.inf)
        raise ConfigError(f"{name} is {shown(value)}. Give a number {' and '.join(limits)}".rstrip() + ".")
    return float(value)


def need_total(value: Any) -> None:
    """Raise ``ConfigError`` unless ``value`` is None or a finite number above 0."""
    if value is not None and not need_number("target_sum", value, above=0) < np.inf:
        raise ConfigError(f"target_sum is {shown(value)}. Give a finite number above 0, or None for the median total.")


def need_seed(value: Any, bits: int) -> int:
    """Return a seed; other numbers would be cut to ``bits`` bits, so that two different seeds would draw the same counts.

    Raises
    ------
    ConfigError
        If the value is not a whole number from 0 to 2^bits − 1.
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not 0 <= int(value) < 1 << bits:
        raise ConfigError(f"random_state is {shown(value)}. Give a whole number from 0 to 2^{bits} - 1.")
    return int(value)


def need_key(name: str, value: Any) -> None:
    """Raise ``ConfigError`` unless the value can name a layer or column in a file."""
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name} is {shown(value)}. Give a name, as a string that is not empty.")
    if "/" in value:
        raise ConfigError(f"{name} is {shown(value)}, but a key must not contain '/', which h5ad takes for a path. Use e.g. '_'.")


def need_flavor(flavor: Any) -> None:
    """Raise ``ConfigError`` unless the flavour of highly variable genes is known."""
    if flavor not in FLAVORS:
        raise ConfigError(
            f"flavor is {flavor!r}. Choose 'seurat' or 'cell_ranger' for log1p values, or 'seurat_v3', 'seurat_v3_paper' or "
            "'pearson_residuals' for raw counts."
        )


def need_lone_spikes(value: Any) -> None:
    """Raise ``ConfigError`` unless the value says what to do with genes that have a lone spike."""
    if value not in ("keep", "drop"):
        raise ConfigError(f"lone_spikes is {shown(value)}; allowed: 'keep' and 'drop'.")


def need_genes(name: str, value: Any, var_names: pd.Index) -> list[str]:
    """Return names of genes from a sequence or a lone string.

    Raises
    ------
    ConfigError
        If the value is neither.
    MissingKeyError
        If one of the genes is not among ``var_names``; the message lists all that are not.
    """
    if not isinstance(value, Collection) or isinstance(value, bytes | dict):
        raise ConfigError(f"{name} is {shown(value)}. Give names of genes, e.g. {name}=['CD3D'].")
    names = [value] if isinstance(value, str) else [str(gene) for gene in value]
    missing = [gene for gene in names if gene not in var_names]
    if missing:
        more = f"{len(missing)} of the genes in {name} are not there: {', '.join(missing)}." if len(missing) > 1 else ""
        raise unknown("gene", missing[0], var_names, hint=more)
    return names


def batches(obs: pd.DataFrame, key: str | None) -> pd.Series | None:
    """Return the column of ``obs`` with the batches; None stays None.

    Raises
    ------
    MissingKeyError
        If there is no such column.
    CountsError
        If cells have no batch.
    """
    if key is None:
        return None
    if not isinstance(key, str) or key not in obs:
        raise unknown("obs column", key, obs.columns, hint="batch_key names the column with the batches.")
    missing = int(obs[key].isna().sum())
    if missing:
        raise CountsError(f"obs[{key!r}] has {missing} missing values. Fill them in, or remove those cells.")
    return obs[key]


def truth(column: Any, place: str) -> NDArray[np.bool_]:
    """Return a mask from booleans in any form: bool, object, nullable, 0 and 1, ``'True'`` and ``'False'``, categorical.

    Raises
    ------
    ConfigError
        If a value is missing, or is anything else; the message names the ``place`` of the column.
    """
    values = pd.Series(np.asarray(column) if not isinstance(column, pd.Series) else column.array)
    if values.dtype == bool:
        return values.to_numpy()
    missing = int(values.isna().sum())
    if missing:
        raise ConfigError(f"{place} has {missing} missing values. Fill them in with True or False.")
    different = values.unique()
    meaning = {value: _TRUTH.get(str(value).strip().lower()) for value in different}
    others = [value for value, read in meaning.items() if read is None]
    if others:
        raise ConfigError(
            f"{place} must be boolean, but has dtype {values.dtype} and values such as {shown(others[0])}. "
            "Give True and False, e.g. `column > 0`; 0 and 1 are also read."
        )
    return values.map(meaning).to_numpy(dtype=bool)


def need_free(adata: AnnData, slot: str, keys: Sequence[str], option: str) -> None:
    """Raise ``ConfigError`` if an entry exists that scae did not write, also where scae keeps its record."""
    written = record_of(adata).get("written", {})
    for key in keys:
        if key in getattr(adata, slot) and f"{slot}[{key!r}]" not in written:
            raise ConfigError(
                f"{slot}[{key!r}] already exists, and scae did not write it. "
                f"Delete it with `del adata.{slot}[{key!r}]`, or choose another name with {option}=."
            )


def note_written(adata: AnnData, slot: str, keys: Sequence[str], verb: str) -> None:
    """Record in ``uns["scae"]["written"]`` that scae wrote these entries, so that it may replace them."""
    for key in keys:
        record(adata, f"{slot}[{key!r}]", verb=verb)
