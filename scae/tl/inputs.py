"""From AnnData to what the rail takes: genes chosen, counts as CSR, exposure and covariates as numbers."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from ..batch import DataSpec
from ..checks import check, matrix
from ..errors import CategoryError, ConfigError, GenesError, unknown
from ..source import CountMatrix
from .coordinates import genome_order

log = logging.getLogger("scae")


@dataclass(frozen=True)
class Keys:
    """The names under which a fit finds its inputs in AnnData."""

    layer: str | None = None
    batch_key: str | None = None
    categorical: tuple[str, ...] = ()
    continuous: tuple[str, ...] = ()
    size_factor: str | None = None
    label: str | None = None

    @property
    def all_categorical(self) -> tuple[str, ...]:
        """The batch key first, then the further ones."""
        return tuple(dict.fromkeys(([self.batch_key] if self.batch_key else []) + list(self.categorical)))


def keys_of(data: DataSpec, layer: str | None) -> Keys:
    """The keys that a fitted model remembers, with the layer that this query's counts are in."""
    categorical, continuous = tuple(k for k, _ in data.categorical), tuple(k for k, *_ in data.continuous)
    return Keys(data.layer if layer is None else layer, data.batch_key, categorical, continuous, data.size_factor)


def prepare(
    adata: AnnData, keys: Keys, mask_var: str | NDArray[np.bool_] | None, *, ordered: bool = False
) -> tuple[DataSpec, CountMatrix]:
    """What a model of these cells, which :func:`verify` has passed, is to be fitted to; and the counts themselves.

    ``ordered`` also asks for the genes' order along the genome.
    """
    genes = np.flatnonzero(gene_mask(adata, mask_var))
    order, breaks = genome_order(adata.var.iloc[genes]) if ordered else ((), ())
    x = _csr(adata, keys.layer, genes)
    totals = np.asarray(x.sum(1), np.float64).ravel()
    some = totals > 0
    per_unit = 1.0
    if keys.size_factor:
        per_unit = float(totals.sum() / adata.obs[keys.size_factor].to_numpy(float).sum())
        totals = adata.obs[keys.size_factor].to_numpy(float) * per_unit
    columns = {key: adata.obs[key].to_numpy(float) for key in keys.continuous}
    data = DataSpec(
        genes=tuple(adata.var_names[genes].astype(str)),
        layer=keys.layer,
        size_factor=keys.size_factor,
        counts_per_unit=per_unit,
        median_library=float(np.median(totals[some])) if some.any() else 1.0,
        batch_key=keys.batch_key,
        categorical=tuple((key, tuple(sorted(set(adata.obs[key].astype(str))))) for key in keys.all_categorical),
        continuous=tuple((key, float(v.mean()), float(v.std()) or 1.0) for key, v in columns.items()),
        order=order,
        breaks=breaks,
        label=None if keys.label is None else (keys.label, _label_levels(adata, keys.label)),
    )
    return data, _assemble(adata, data, x)


def counts(adata: AnnData, data: DataSpec, *, layer: str | None = None, may_lack: bool = False) -> CountMatrix:
    """The counts of a model's genes in these cells, which :func:`verify` has passed; genes are matched by name.

    Parameters
    ----------
    adata
        Cells to be embedded or denoised.
    data
        What the model was fitted to.
    layer
        Where the counts are, if elsewhere than in the data that the model was fitted to.
    may_lack
        Genes of the model may be missing, if not all are: they are then hidden.

    Raises
    ------
    GenesError
        If genes of the model are missing.
    CategoryError
        If a covariate has a level that the model has not seen.
    """
    position = _positions(adata, data, may_lack=may_lack)
    hidden = position < 0
    x = _csr(adata, data.layer if layer is None else layer, position[~hidden])
    if not hidden.any():
        return _assemble(adata, data, x)
    warnings.warn(
        f"{hidden.sum()} of the model's {hidden.size} genes are not in adata.var_names and are hidden from the encoder. A cell's "
        "exposure is its total over the others.",
        UserWarning,
        stacklevel=4,
    )
    wide = sp.csr_matrix((x.data, np.flatnonzero(~hidden)[x.indices], x.indptr), shape=(x.shape[0], hidden.size))
    return replace(_assemble(adata, data, wide), hidden=hidden)


def _assemble(adata: AnnData, data: DataSpec, x: sp.csr_matrix) -> CountMatrix:
    library = np.asarray(x.sum(1), np.float32).reshape(-1, 1)
    if data.size_factor:
        library = (adata.obs[data.size_factor].to_numpy(np.float32) * np.float32(data.counts_per_unit)).reshape(-1, 1)
    codes = [level_codes(adata.obs[key].astype(str).to_numpy(), key, levels) for key, levels in data.categorical]
    columns = [(adata.obs[key].to_numpy(np.float32) - mean) / sd for key, mean, sd in data.continuous]
    return CountMatrix(
        x.indptr.astype(np.int64),
        x.indices.astype(np.int64),
        x.data,
        library,
        np.stack(codes, 1) if codes else np.zeros((adata.n_obs, 0), np.int64),
        np.stack(columns, 1).astype(np.float32) if columns else np.zeros((adata.n_obs, 0), np.float32),
        len(data.genes),
        None if data.label is None else _label_codes(adata, *data.label),
    )


def _label_levels(adata: AnnData, key: str) -> tuple[str, ...]:
    if key not in adata.obs:
        raise unknown("obs column", key, adata.obs.columns, hint="label_key names the column of the labels.")
    levels = tuple(sorted(set(adata.obs[key].dropna().astype(str))))
    if not levels:
        raise ConfigError(f"label_key is {key!r}, and obs[{key!r}] has no value. Label some cells, or choose another prior.")
    return levels


def _label_codes(adata: AnnData, key: str, levels: tuple[str, ...]) -> NDArray[np.int64]:
    """Codes ``(cells,)`` of labels; −1 where missing or new, and for all cells without the column: a query may be unlabelled."""
    if key not in adata.obs:
        return np.full(adata.n_obs, -1, np.int64)
    place = {level: i for i, level in enumerate(levels)}
    known = adata.obs[key].notna()
    return np.array([place.get(v, -1) if k else -1 for v, k in zip(adata.obs[key].astype(str), known, strict=True)], np.int64)


def verify(adata: AnnData, keys: Keys, *, fractions: bool = False) -> None:
    """Raise what :func:`scae.check` calls an error, and warn of what it calls a warning."""
    report = check(
        adata,
        layer=keys.layer,
        categorical=keys.all_categorical,
        continuous=keys.continuous,
        size_factor=keys.size_factor,
        fractions=fractions,
    )
    report.raise_errors()
    for message in report.warnings:
        warnings.warn(message, UserWarning, stacklevel=4)


def gene_mask(adata: AnnData, mask_var: str | NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """``(genes,)``: which genes to model; None means ``var["highly_variable"]`` where that is present, else all.

    Raises
    ------
    MissingKeyError
        If there is no such column.
    ConfigError
        If the mask is not one truth value a gene, or chooses no gene.
    """
    if mask_var is None:
        mask_var = "highly_variable" if "highly_variable" in adata.var else np.ones(adata.n_vars, bool)
    if isinstance(mask_var, str):
        if mask_var not in adata.var:
            raise unknown("var column", mask_var, adata.var.columns, hint="mask_var takes a column of truth values, or an array.")
        mask_var = adata.var[mask_var].to_numpy()
    mask = np.asarray(mask_var)
    if mask.dtype != bool or mask.shape != (adata.n_vars,):
        raise ConfigError(f"mask_var has dtype {mask.dtype} and shape {mask.shape}; allowed: bool, ({adata.n_vars},).")
    if not mask.any():
        raise ConfigError("mask_var chooses no gene. Choose some, or pass an array of True for all.")
    return mask


def level_codes(values: Sequence[str] | NDArray, key: str, levels: tuple[str, ...]) -> NDArray[np.int64]:
    """Codes ``(n,)`` of levels; a level that the model has not seen is an error."""
    place = {level: i for i, level in enumerate(levels)}
    unseen = sorted(set(values) - set(place))
    if unseen:
        raise CategoryError(
            f"{key} has levels that the model was not fitted to: {', '.join(map(repr, unseen[:5]))}. Known: "
            f"{', '.join(map(repr, levels[:20]))}. Map them to known ones, or fit a model that includes them."
        )
    return np.array([place[v] for v in values], np.int64)


def _positions(adata: AnnData, data: DataSpec, *, may_lack: bool) -> NDArray[np.int64]:
    """Columns of the model's genes, −1 for one that may be missing; further genes of the query are passed over."""
    position = adata.var_names.astype(str).get_indexer(list(data.genes))
    missing = np.flatnonzero(position < 0)
    if missing.size and not (may_lack and missing.size < position.size):
        names = ", ".join(data.genes[i] for i in missing[:5])
        raise GenesError(
            f"{missing.size} of the model's {len(data.genes)} genes are not in adata.var_names (e.g. {names}; adata has e.g. "
            f"{', '.join(adata.var_names[:3])}). Use the same kind of gene names, or add the missing genes with zero counts "
            "if they were measured and never seen: anndata.concat([...], join='outer', fill_value=0). A model fitted with the "
            "corruption 'gene_dropout' can be embedded and denoised without some of its genes."
        )
    return position.astype(np.int64)


def _csr(adata: AnnData, layer: str | None, genes: NDArray[np.int64]) -> sp.csr_matrix:
    """The chosen columns as canonical float32 CSR without stored zeros; never the user's own arrays."""
    x = matrix(adata, layer)
    every = genes.size == x.shape[1] and bool((np.diff(genes) == 1).all())
    out = sp.csr_matrix(x if every else x[:, genes], dtype=np.float32, copy=True)
    out.sum_duplicates()
    out.eliminate_zeros()
    return out
