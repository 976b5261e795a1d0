"""Preprocess a file into another file, in bounded memory for any number of cells."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from ..errors import ConfigError, KindError, ModelFileError, unknown
from ..io import blocks
from ..kernels import reshape, sums
from ..kernels.rows import Rows, memory_blocks
from . import _store as store
from ._arguments import need_whole
from ._calculate_qc_metrics import Naming, cell_metrics, gene_metrics, gene_weights, joined, quality_sums
from ._contract import holds_counts, refuse
from ._fused import log_normalised
from ._highly_variable_genes import highly_variable_genes
from ._lone_spikes import lone_spike_genes
from ._matrix import checked, summed
from ._normalize_total import median_total
from ._recipe import ON_COUNTS, mark_from_moments
from ._settings import Settings, check_some_pass, warn_replaced

_BLOCKS_ALIVE = 12  # copies of a block in memory at the same time: as read, filtered, normalised, in buffers of the file
_LIBRARIES = 700 << 20  # bytes used by the process apart from the blocks


def preprocess_file(
    source: str | Path,
    target: str | Path,
    *,
    max_memory: int = 2 << 30,
    **options: Any,
) -> dict[str, Any]:
    """Preprocess an h5ad file or zarr store into a new one, without loading ``X``.

    The result is that of :func:`scae.pp.recipe`, and so are the checks: values that are not counts are refused as in
    :func:`scae.check` before anything is written. The new store has the log-normalised values in ``X`` (CSR), the counts in a
    layer, and ``obs``, ``var``, ``obsm``, ``varm`` and ``uns``. Other layers, ``obsp``, ``varp`` and ``raw`` are not copied. An
    existing store at ``target`` is replaced only when the new one is complete. A CSC ``X`` cannot be read row by row, so it is
    loaded as a whole if ``max_memory`` allows.

    Parameters
    ----------
    source, target : str or Path
        Paths of the two stores. A source that is a folder is read as a zarr store, and a target whose name
        ends in ``.zarr`` is written as one; anything else is an h5ad file.
    max_memory : int
        Memory that the process may use, libraries and tables included, in bytes; at least 1 GiB.
    **options
        Options of :func:`scae.pp.recipe`: ``qc_vars``, ``percent_top``, ``min_genes``, ``min_cells``, ``target_sum``,
        ``n_top_genes``, ``flavor``, ``batch_key``, ``key_counts``, ``lone_spikes``, ``keep_genes``.

    Returns
    -------
    dict
        ``"cells"`` and ``"genes"``: the numbers before and after filtering, a list of two. ``"highly_variable"``: the number of
        variable genes. ``"source"`` and ``"target"``: the paths.

    Raises
    ------
    ConfigError
        If ``max_memory`` is too small, ``source`` and ``target`` are the same, or an option is unknown or has a value that is not
        allowed.
    CountsError
        If there is no ``X``, or it does not hold counts, if cells have no batch, or if no cell has at least ``min_genes``
        expressed genes or no gene is expressed in ``min_cells`` cells.
    MatrixError
        If the arrays of a sparse ``X`` contradict each other.
    MissingKeyError
        If a column, or a gene to keep, does not exist.
    ModelFileError
        If the source does not exist, is truncated or of another kind, links to other files, or declares far more than it holds.

    Examples
    --------
    >>> import anndata, numpy as np, pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> counts = np.random.default_rng(0).poisson(1.0, (60, 40)).astype("float32")
    >>> anndata.AnnData(counts).write_h5ad(folder / "in.h5ad")
    >>> options = {"min_genes": 5, "n_top_genes": 10, "percent_top": (), "flavor": "seurat_v3"}
    >>> summary = preprocess_file(folder / "in.h5ad", folder / "out.h5ad", **options)
    >>> summary["cells"], summary["genes"], summary["highly_variable"]
    ([60, 60], [40, 40], 10)
    """
    for path in (source, target):
        if not isinstance(path, str | os.PathLike):
            raise KindError(
                f"preprocess_file needs paths of files, but was given {type(path).__name__}. "
                "Use scae.pp.recipe for an AnnData object in memory."
            )
    source, target = Path(source), Path(target)
    if source.resolve() == target.resolve():
        raise ConfigError(f"source and target are both {str(source)!r}. Name another file for the result.")
    if need_whole("max_memory", max_memory, 0) < 1 << 30:
        raise ConfigError(f"max_memory is {max_memory} bytes. Give at least 1G; the libraries alone use half of it.")
    for name in options:
        if name not in Settings._fields:
            raise KindError(str(unknown("option", name, Settings._fields)))
    settings = Settings(**options)
    with store.open_read(source) as root, store.open_write(target) as out:
        return _run(root, out, settings, max_memory) | {"source": str(source), "target": str(target)}


def _run(root: Any, out: Any, s: Settings, max_memory: int) -> dict[str, Any]:
    """Preprocess one open store into another; return the summary without the paths."""
    x = store.matrix(root)
    if getattr(x, "format", None) == "csc" and x.group["data"].size * 24 > max_memory:
        raise ConfigError("X is stored by columns (CSC) and too large to load. Store it as CSR, or increase max_memory.")
    tables = store.tables(root)
    if tables.shape != x.shape:
        raise ModelFileError(
            f"X has shape {x.shape}, but obs has {tables.n_obs} rows and var has {tables.n_vars}. Use a whole file."
        )
    s = s.checked(tables.obs, tables.var)
    block_bytes = min((max_memory - _LIBRARIES) // _BLOCKS_ALIVE, 256 << 20)
    before = {"obs": tables.obs.copy(), "var": tables.var.copy()}
    cells, genes, dtype = _filtered(root, x, tables, s, block_bytes)
    check_some_pass(cells, genes, s)
    result = AnnData(obs=tables.obs.loc[cells].copy(), var=tables.var.loc[genes].copy())
    target_sum = _target_sum(x, cells, genes, s, block_bytes)
    moments = _write_matrices(x, out, (cells, genes, target_sum, dtype), s, block_bytes)
    for name, mask in (("obsm", cells), ("varm", genes)):
        store.put(out, name, _rows(root, name, mask))
    store.put(out, "uns", dict(tables.uns))
    _mark_genes(out, result, moments, s)
    for name in ("obs", "var"):
        store.put(out, name, getattr(result, name))
    warn_replaced({"obs": before["obs"][cells], "var": before["var"][genes]}, {"obs": result.obs, "var": result.var})
    return {
        "cells": [len(cells), int(cells.sum())],
        "genes": [len(genes), int(genes.sum())],
        "highly_variable": int(result.var["highly_variable"].sum()),
    }


def _rows(root: Any, name: str, mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Rows of each array in ``obsm`` or ``varm``."""
    entries = store.columns(root, name)
    for key, value in entries.items():
        if np.shape(value)[:1] != mask.shape:
            raise ModelFileError(f"{name}[{key!r}] has shape {np.shape(value)}; allowed: {len(mask)} rows. Use a whole file.")
    return {key: value[mask] for key, value in entries.items()}


def _filtered(root: Any, x: Any, tables: AnnData, s: Settings, block_bytes: int) -> tuple[NDArray, NDArray, np.dtype]:
    """First pass: check that ``X`` holds counts, and write the quality metrics to ``obs`` and ``var``.

    Returns the masks of the cells and genes that pass, and the dtype of the counts.
    """
    tops, names = sorted(s.percent_top), list(s.qc_vars)
    weights, ns = gene_weights(tables.var, names), np.unique(np.array(tops, np.int64))
    parts, n_cells, dtype = [], np.zeros(x.shape[1], np.int64), x.dtype
    for start, block in _blocks(x, block_bytes):
        if not holds_counts(block):
            _refuse(root, x, start, block)
        dtype = np.result_type(dtype, block.dtype)  # wider if a sum of repeated entries does not fit
        metrics = quality_sums(block, weights, ns)
        removed = np.flatnonzero(metrics.cells[:, 1] < s.min_genes)
        n_cells += metrics.genes[:, 1].astype(np.int64)
        if removed.size:
            n_cells -= sums.columns(next(memory_blocks(block[removed])), sums.NONZERO)[0][:, 1].astype(np.int64)
        parts.append(metrics)
    total = joined(parts)
    naming = Naming("counts", "genes", True)
    of_cells, of_genes = cell_metrics(total, x, names, tops, naming), gene_metrics(total.genes, x, naming)
    for table, columns in ((tables.obs, of_cells), (tables.var, of_genes)):
        table[list(columns)] = pd.DataFrame(columns, index=table.index)
    tables.obs["n_genes"], tables.var["n_cells"] = total.cells[:, 1].astype(np.int64), n_cells
    kept = tables.var_names.isin(s.keep_genes)
    return total.cells[:, 1] >= s.min_genes, (n_cells >= s.min_cells) | kept, dtype


def _refuse(root: Any, x: Any, start: int, block: Any) -> None:
    """Raise the error of ``scae.check`` for a block that does not hold counts; layers and ``raw`` are searched for counts."""
    stop = start + block.shape[0]
    adata = AnnData(block)
    for name in list(root["layers"]) if "layers" in root else []:
        adata.layers[name] = _part(store.matrix(root, f"layers/{name}"), start, stop)
    for name in [name for name in ("raw/X", "raw.X") if name in root]:  # the second of anndata 0.6
        adata.raw = AnnData(_part(store.matrix(root, name), start, stop))
    refuse(adata, None, "" if block.shape[0] == x.shape[0] else f" (cells {start} to {stop - 1})")


def _part(x: Any, start: int, stop: int) -> Any:
    """Return some rows of a matrix on disk."""
    return x.to_memory()[start:stop] if getattr(x, "format", None) == "csc" else x[start:stop]


def _blocks(x: Any, block_bytes: int) -> Iterator[tuple[int, Any]]:
    """Yield the number of the first row of each block, and the block in memory."""
    start = 0
    for block in blocks.row_blocks(x, block_bytes):
        yield start, summed(checked(block, "preprocess_file"))
        start += block.shape[0]


def _kept(x: Any, cells: NDArray[np.bool_], genes: NDArray[np.bool_], block_bytes: int) -> Iterator[Rows]:
    """Yield blocks of the cells and genes that pass the filters, as CSR rows."""
    for start, block in _blocks(x, block_bytes):
        for rows in memory_blocks(block):
            bits = rows if rows.data.dtype != bool else rows._replace(data=rows.data.view(np.uint8))
            yield reshape.keep(bits, cells[start : start + rows.n_rows], genes)
            start += rows.n_rows


def _floats(m: Rows) -> Rows:
    """Return the rows with values of single or double precision, as ``normalize_total`` does."""
    return m if m.data.dtype in (np.float32, np.float64) else m._replace(data=m.data.astype(np.float32))


def _target_sum(x: Any, cells: NDArray[np.bool_], genes: NDArray[np.bool_], s: Settings, block_bytes: int) -> float:
    """Return the total of each cell after normalisation; the median total takes another pass."""
    if s.target_sum is not None:
        return s.target_sum
    kept = (_floats(m) for m in _kept(x, cells, genes, block_bytes))
    totals = [sums.rows(m)[:, 0].astype(m.data.dtype) for m in kept]
    return float(median_total(np.concatenate(totals)))


def _write_matrices(
    x: Any, out: Any, kept: tuple[NDArray[np.bool_], NDArray[np.bool_], float, np.dtype], s: Settings, block_bytes: int
) -> NDArray[np.float64]:
    """Second pass: write the counts and the log-normalised values; return Σv and Σv² of each gene, ``(genes, 2)``.

    ``kept`` holds the masks of cells and genes, the total of each cell after normalisation, and the dtype of the counts.
    """
    cells, genes, target_sum, dtype = kept
    n_genes = int(genes.sum())
    out.create_group("layers").attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})
    counts, values = store.CsrWriter(out, f"layers/{s.key_counts}", n_genes), store.CsrWriter(out, "X", n_genes)
    moments = np.zeros((n_genes, 2))
    for stored in _kept(x, cells, genes, block_bytes):
        lengths = np.diff(stored.indptr)
        counts.append(lengths, stored.indices, stored.data.astype(dtype, copy=False))
        m = _floats(stored)
        factors = sums.rows(m)[:, 0] / target_sum
        nonzero = np.where(factors == 0, 1, factors)
        _, block_moments = log_normalised(m, nonzero, moments_of_logs=s.flavor == "cell_ranger", out=m.data)
        values.append(lengths, m.indices, m.data)
        moments += block_moments
    counts.close()
    values.close()
    return moments


def _mark_genes(out: Any, result: AnnData, moments: NDArray[np.float64], s: Settings) -> None:
    """Mark variable genes in ``result.var``, and record log1p and the flavour in ``uns`` of the new store."""
    store.put(out, "uns/log1p", {})
    counts = store.matrix(out, f"layers/{s.key_counts}")
    if s.one_pass:
        mark_from_moments(result.var, moments, result.n_obs, s, lone_spike_genes(counts) if s.lone_spikes == "drop" else None)
    else:
        x = counts if s.flavor in ON_COUNTS else store.matrix(out, "X")
        backed = AnnData(x, obs=result.obs, var=result.var, layers={s.key_counts: counts})
        highly_variable_genes(backed, **s.options)
        result.var = backed.var
    store.put(out, "uns/hvg", {"flavor": s.flavor})
