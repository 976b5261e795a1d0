"""Convert AnnData to the input of a model: chosen genes, counts as CSR, library sizes, and covariates as numbers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from ..checks import examine, gene_mask, located
from ..errors import CategoryError, ConfigError, GenesError
from ..keys import DataKeys, DataSpec
from ..source import CountMatrix
from ._coordinates import genome_order


def verify(adata: AnnData, keys: DataKeys, *, fractions: bool = False, remembered: bool = False) -> tuple[DataKeys, Any]:
    """The keys with the layer that is used, and the matrix of counts, in memory.

    Raises the errors and emits the warnings of :func:`scae.check`; ``remembered`` as in :func:`scae.checks.located`.
    """
    keys, said = located(adata, keys, fractions=fractions, remembered=remembered)
    report, x = examine(adata, keys, fractions=fractions)
    report.raise_errors()
    for message in [*([said] if said else []), *report.warnings]:
        warnings.warn(message, UserWarning, stacklevel=4)
    return keys, x


def prepare(adata: AnnData, x: Any, keys: DataKeys, *, ordered: bool = False) -> tuple[DataSpec, CountMatrix]:
    """The description of the data for a new model, and the counts of its cells.

    Parameters
    ----------
    adata
        Cells × genes.
    x
        The matrix of counts, from :func:`verify`.
    keys
        Where the inputs are.
    ordered
        Also find the order of the genes along the genome.

    Raises
    ------
    ConfigError, MissingKeyError
        If the mask chooses no gene, a column is missing, or genes have no place on the genome.
    """
    genes = np.flatnonzero(gene_mask(adata, keys.mask_var))
    order, breaks = genome_order(adata.var.iloc[genes]) if ordered else ((), ())
    counts = _csr(x, genes)
    library, per_unit = np.asarray(counts.sum(1), np.float64).ravel(), 1.0
    nonempty = library > 0
    if keys.size_factor:
        units = adata.obs[keys.size_factor].to_numpy(float)
        per_unit = float(library.sum() / units.sum())
        library = units * per_unit
    columns = [adata.obs[key].to_numpy(float) for key in keys.continuous_covariates]
    data = DataSpec(
        genes=tuple(adata.var_names[genes].astype(str)),
        keys=replace(keys, mask_var=None),
        levels=tuple(tuple(sorted(set(adata.obs[key].astype(str)))) for key in keys.categorical),
        moments=tuple(_moments(v) for v in columns),
        labels=() if keys.label_key is None else _label_levels(adata, keys.label_key),
        counts_per_unit=per_unit,
        median_library=float(np.median(library[nonempty])) if nonempty.any() else 1.0,
        order=order,
        breaks=breaks,
    )
    return data, assemble(adata, data, counts)


def _moments(column: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and standard deviation; of a constant, the constant and 1, because sums of its roundings are no spread."""
    constant = (column == column[0]).all()
    return (float(column[0]), 1.0) if constant else (float(column.mean()), float(column.std()))


def query(adata: AnnData, x: Any, data: DataSpec, *, may_lack: bool = False) -> CountMatrix:
    """The counts of a fitted model's genes in these cells; genes are matched by name.

    Parameters
    ----------
    adata
        Cells to embed or denoise.
    x
        The matrix of counts, from :func:`verify`.
    data
        The data to which the model was fitted.
    may_lack
        Accept missing genes, as long as some are there; missing genes are hidden from the encoder.

    Raises
    ------
    GenesError
        If genes of the model are missing.
    CategoryError
        If a covariate has a level to which the model was not fitted.
    """
    position = _positions(adata, data, may_lack=may_lack)
    missing = position < 0
    counts = _csr(x, position[~missing])
    if not missing.any():
        return assemble(adata, data, counts)
    warnings.warn(
        f"{missing.sum()} of the model's {missing.size} genes are not in adata.var_names and are hidden from the encoder. "
        "Library sizes are totals over the other genes.",
        UserWarning,
        stacklevel=4,
    )
    shape = (counts.shape[0], missing.size)
    wide = sp.csr_matrix((counts.data, np.flatnonzero(~missing)[counts.indices], counts.indptr), shape=shape)
    return replace(assemble(adata, data, wide), missing=missing)


def assemble(adata: AnnData, data: DataSpec, x: sp.csr_matrix) -> CountMatrix:
    """Counts ``(cells, genes)`` of a model's genes, with the library sizes and covariates of ``adata.obs``.

    Raises
    ------
    CategoryError
        If a covariate has a level to which the model was not fitted.
    """
    keys, obs = data.keys, adata.obs
    library = np.asarray(x.sum(1), np.float32).reshape(-1, 1)
    if keys.size_factor:
        library = (obs[keys.size_factor].to_numpy(np.float32) * np.float32(data.counts_per_unit)).reshape(-1, 1)
    codes = {
        key: level_codes(obs[key].astype(str).to_numpy(), key, levels)
        for key, levels in zip(keys.categorical, data.levels, strict=True)
    }
    batch = None if keys.batch_key is None else codes.pop(keys.batch_key)
    names = zip(keys.continuous_covariates, data.moments, strict=True)
    columns = [(obs[key].to_numpy(np.float64) - mean) / sd for key, (mean, sd) in names]  # float32 only once centred
    return CountMatrix(
        indptr=x.indptr.astype(np.int64),
        gene=x.indices.astype(np.int64),
        value=x.data,
        n_genes=len(data.genes),
        library=library,
        covariates=np.stack([*codes.values()], 1) if codes else np.zeros((adata.n_obs, 0), np.int64),
        continuous=np.stack(columns, 1).astype(np.float32) if columns else np.zeros((adata.n_obs, 0), np.float32),
        batch=batch,
        label=_label_codes(adata, keys.label_key, data.labels) if keys.label_key else None,
    )


def _label_levels(adata: AnnData, key: str) -> tuple[str, ...]:
    levels = tuple(sorted(set(adata.obs[key].dropna().astype(str))))
    if not levels:
        raise ConfigError(f"label_key is {key!r}, but obs[{key!r}] has no value. Label some cells, or choose another prior.")
    return levels


def _label_codes(adata: AnnData, key: str, levels: tuple[str, ...]) -> NDArray[np.int64]:
    """Label codes ``(cells,)``; −1 for missing and new labels, and for all cells if there is no such column."""
    if key not in adata.obs:
        return np.full(adata.n_obs, -1, np.int64)
    place = {level: i for i, level in enumerate(levels)}
    known = adata.obs[key].notna()
    return np.array([place.get(v, -1) if k else -1 for v, k in zip(adata.obs[key].astype(str), known, strict=True)], np.int64)


def level_codes(values: Sequence[str] | NDArray, key: str, levels: tuple[str, ...]) -> NDArray[np.int64]:
    """Codes ``(n,)`` of levels.

    Raises
    ------
    CategoryError
        If there is a level to which the model was not fitted.
    """
    place = {level: i for i, level in enumerate(levels)}
    unseen = sorted(set(values) - set(place))
    if unseen:
        raise CategoryError(
            f"{key} has levels to which the model was not fitted: {', '.join(map(repr, unseen[:5]))}. Known: "
            f"{', '.join(map(repr, levels[:20]))}. Rename them to known levels, or fit a model that includes them."
        )
    return np.array([place[v] for v in values], np.int64)


def _positions(adata: AnnData, data: DataSpec, *, may_lack: bool) -> NDArray[np.int64]:
    """Column of each of the model's genes, −1 if missing; other genes of ``adata`` are ignored."""
    position = adata.var_names.astype(str).get_indexer(list(data.genes))
    missing = np.flatnonzero(position < 0)
    if missing.size and not (may_lack and missing.size < position.size):
        names = ", ".join(data.genes[i] for i in missing[:5])
        raise GenesError(
            f"{missing.size} of the model's {len(data.genes)} genes are not in adata.var_names (e.g. {names}; adata has e.g. "
            f"{', '.join(adata.var_names[:3])}). Use the same kind of gene names. If the missing genes were measured but never "
            "detected, add them with zero counts: anndata.concat([...], join='outer', fill_value=0). If they were not measured, "
            "fit a model with the corruption 'gene_dropout', which accepts missing genes."
        )
    return position.astype(np.int64)


def _csr(x: Any, genes: NDArray[np.int64]) -> sp.csr_matrix:
    """The chosen columns as a canonical float32 CSR copy without stored zeros."""
    every = genes.size == x.shape[1] and bool((np.diff(genes) == 1).all())
    out = sp.csr_matrix(x if every else x[:, genes], dtype=np.float32, copy=True)
    out.sum_duplicates()
    out.eliminate_zeros()
    return out
