"""Preprocess a file into another file, in bounded memory for any number of cells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import write_elem
from numpy.typing import NDArray
from scipy import sparse

from ..errors import ConfigError
from ..io import blocks
from ..kernels import reshape, sums
from ..kernels.rows import Rows
from . import _store as store
from ._calculate_qc_metrics import Naming, cell_metrics, gene_metrics, gene_weights, joined, quality_sums
from ._fused import log_normalised
from ._highly_variable_genes import highly_variable_genes
from ._matrix import memory_blocks
from ._recipe import ON_COUNTS, Settings, check_some_cells_pass, mark_from_moments

_BLOCKS_ALIVE = 12  # copies of a block in memory at the same time: as read, filtered, normalised, in buffers of the file
_LIBRARIES = 700 << 20  # bytes used by the process apart from the blocks
_COPIED = ("obsm", "varm", "uns")


def preprocess_file(
    source: str | Path,
    target: str | Path,
    *,
    max_memory: int = 2 << 30,
    **options: Any,
) -> dict[str, Any]:
    """Preprocess an h5ad file or zarr store into a new one, without loading ``X``.

    The result is that of :func:`scae.pp.recipe`. The new store has the log-normalised values in ``X`` (CSR), the counts in a
    layer, and ``obs``, ``var``, ``obsm``, ``varm`` and ``uns``. Other layers, ``obsp``, ``varp`` and ``raw`` are not copied. An
    existing store at ``target`` is replaced only when the new one is complete. A CSC ``X`` cannot be read row by row, so it is
    loaded as a whole if ``max_memory`` allows.

    Parameters
    ----------
    source, target : str or Path
        Paths of the two stores. A directory or a name ending in ``.zarr`` is a zarr store, anything else an h5ad file.
    max_memory : int
        Memory that the process may use, libraries and tables included, in bytes; at least 1 GiB.
    **options
        Options of :func:`scae.pp.recipe`: ``qc_vars``, ``percent_top``, ``min_genes``, ``min_cells``, ``target_sum``,
        ``n_top_genes``, ``flavor``, ``batch_key``, ``key_counts``.

    Returns
    -------
    dict
        ``"cells"`` and ``"genes"``: the numbers before and after filtering, a list of two. ``"highly_variable"``: the number of
        variable genes. ``"source"`` and ``"target"``: the paths.

    Raises
    ------
    ConfigError
        If ``max_memory`` is too small, or ``source`` and ``target`` are the same.
    CountsError
        If no cell has at least ``min_genes`` expressed genes.
    MissingKeyError
        If the source does not exist or has no ``X``.
    OSError
        If the source is not a complete h5ad file.

    Examples
    --------
    >>> import anndata, numpy as np, pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> counts = np.random.default_rng(0).poisson(1.0, (60, 40)).astype("float32")
    >>> anndata.AnnData(counts).write_h5ad(folder / "in.h5ad")
    >>> summary = preprocess_file(folder / "in.h5ad", folder / "out.h5ad", min_genes=5, n_top_genes=10, percent_top=())
    >>> summary["cells"], summary["genes"], summary["highly_variable"]
    ([60, 60], [40, 40], 10)
    """
    source, target = Path(source), Path(target)
    if source.resolve() == target.resolve():
        raise ConfigError(f"source and target are both {str(source)!r}. Name another file for the result.")
    if max_memory < 1 << 30:
        raise ConfigError(f"max_memory is {max_memory} bytes. Give at least 1G; the libraries alone use half of it.")
    settings = Settings(**options)
    with store.open_read(source) as root, store.open_write(target) as out:
        return _run(root, out, settings, max_memory) | {"source": str(source), "target": str(target)}


def _run(root: Any, out: Any, s: Settings, max_memory: int) -> dict[str, Any]:
    """Preprocess one open store into another; return the summary without the paths."""
    x = store.matrix(root)
    if getattr(x, "format", None) == "csc" and x.group["data"].size * 24 > max_memory:
        raise ConfigError("X is stored by columns (CSC) and too large to load. Store it as CSR, or increase max_memory.")
    tables = AnnData(obs=store.element(root, "obs", pd.DataFrame()), var=store.element(root, "var", pd.DataFrame()))
    block_bytes = min((max_memory - _LIBRARIES) // _BLOCKS_ALIVE, 256 << 20)
    cells, genes = _filtered(x, tables, s, block_bytes)
    check_some_cells_pass(cells, s)
    result = AnnData(obs=tables.obs.loc[cells].copy(), var=tables.var.loc[genes].copy())
    target_sum = _target_sum(x, cells, genes, s, block_bytes)
    moments = _write_matrices(x, out, (cells, genes, target_sum), s, block_bytes)
    for name in _COPIED:
        entries = store.element(root, name, {})
        mask = {"obsm": cells, "varm": genes}.get(name)
        write_elem(out, name, entries if mask is None else {key: value[mask] for key, value in entries.items()})
    _mark_genes(out, result, moments, s)
    for name in ("obs", "var"):
        write_elem(out, name, getattr(result, name))
    return {
        "cells": [len(cells), int(cells.sum())],
        "genes": [len(genes), int(genes.sum())],
        "highly_variable": int(result.var["highly_variable"].sum()),
    }


def _filtered(x: Any, tables: AnnData, s: Settings, block_bytes: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """First pass: write the quality metrics to ``obs`` and ``var``; return the masks of the cells and genes that pass."""
    tops = sorted(n for n in s.percent_top if n <= x.shape[1])
    names = [s.qc_vars] if isinstance(s.qc_vars, str) else list(s.qc_vars)
    weights, ns = gene_weights(tables, names, x.shape[1]), np.unique(np.array(tops, np.int64))
    parts, n_cells = [], np.zeros(x.shape[1], np.int64)
    for _, block in _blocks(x, block_bytes):
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
    return total.cells[:, 1] >= s.min_genes, n_cells >= s.min_cells


def _blocks(x: Any, block_bytes: int) -> Iterator[tuple[int, Any]]:
    """Yield the number of the first row of each block, and the block in memory."""
    start = 0
    for block in blocks.row_blocks(x, block_bytes):
        if sparse.issparse(block) and not block.has_canonical_format:
            block.sum_duplicates()  # in place, as nobody else uses the block
        yield start, block
        start += block.shape[0]


def _kept(x: Any, cells: NDArray[np.bool_], genes: NDArray[np.bool_], block_bytes: int) -> Iterator[Rows]:
    """Yield blocks of the cells and genes that pass the filters, as CSR rows of floats."""
    for start, block in _blocks(x, block_bytes):
        for rows in memory_blocks(block):
            floats = rows if rows.data.dtype in (np.float32, np.float64) else rows._replace(data=rows.data.astype(np.float32))
            yield reshape.keep(floats, cells[start : start + rows.n_rows], genes)
            start += rows.n_rows


def _target_sum(x: Any, cells: NDArray[np.bool_], genes: NDArray[np.bool_], s: Settings, block_bytes: int) -> float:
    """Return the total of each cell after normalisation; the median total takes another pass."""
    if s.target_sum is not None:
        return s.target_sum
    totals = [sums.rows(m)[:, 0].astype(m.data.dtype) for m in _kept(x, cells, genes, block_bytes)]
    return float(np.median(np.concatenate(totals)))


def _write_matrices(
    x: Any, out: Any, kept: tuple[NDArray[np.bool_], NDArray[np.bool_], float], s: Settings, block_bytes: int
) -> NDArray[np.float64]:
    """Second pass: write the counts and the log-normalised values; return Σv and Σv² of each gene, ``(genes, 2)``.

    ``kept`` holds the masks of cells and genes, and the total of each cell after normalisation.
    """
    cells, genes, target_sum = kept
    n_genes = int(genes.sum())
    out.create_group("layers").attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})
    counts, values = store.CsrWriter(out, f"layers/{s.key_counts}", n_genes), store.CsrWriter(out, "X", n_genes)
    moments = np.zeros((n_genes, 2))
    for m in _kept(x, cells, genes, block_bytes):
        factors = sums.rows(m)[:, 0] / target_sum
        lengths = np.diff(m.indptr)
        counts.append(lengths, m.indices, m.data)
        nonzero = np.where(factors == 0, 1, factors)
        _, block_moments = log_normalised(m, nonzero, moments_of_logs=s.flavor == "cell_ranger", out=m.data)
        values.append(lengths, m.indices, m.data)
        moments += block_moments
    counts.close()
    values.close()
    return moments


def _mark_genes(out: Any, result: AnnData, moments: NDArray[np.float64], s: Settings) -> None:
    """Mark variable genes in ``result.var``, and record log1p and the flavour in ``uns`` of the new store."""
    write_elem(out, "uns/log1p", {})
    if s.one_pass:
        mark_from_moments(result.var, moments, result.n_obs, s)
    else:
        name = f"layers/{s.key_counts}" if s.flavor in ON_COUNTS else "X"
        backed = AnnData(store.matrix(out, name), obs=result.obs, var=result.var)
        highly_variable_genes(backed, flavor=s.flavor, n_top_genes=s.n_top_genes, batch_key=s.batch_key)
        result.var = backed.var
    write_elem(out, "uns/hvg", {"flavor": s.flavor})
