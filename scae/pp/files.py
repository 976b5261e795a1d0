"""The recipe from file to file, in memory that is bounded whatever the number of cells."""

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
from ._fused import log_normalised
from ._matrix import memory_blocks
from .quality import cell_metrics, gene_metrics, gene_weights, joined
from .quality import sums as quality_sums
from .recipe import ON_COUNTS, Settings, mark, some_left
from .variable import highly_variable_genes

_BLOCKS_ALIVE = 12  # a block on its way: as read, counted, cut, normalised, and the file's own buffers
_CARRIED = ("obsm", "varm", "uns")


def preprocess_file(
    source: str | Path,
    target: str | Path,
    *,
    max_memory: int = 2 << 30,
    **options: Any,
) -> dict[str, Any]:
    """Preprocess an h5ad file or zarr store into another, without ever holding ``X``.

    Equal to :func:`scae.pp.recipe`. The new store has the log-normalised values in ``X`` (CSR), the counts in a layer, and
    ``obs``, ``var``, ``obsm``, ``varm`` and ``uns``; other layers, ``obsp``, ``varp`` and ``raw`` are left behind. It is
    written beside ``target`` and renamed over it. A CSC ``X`` cannot be read by rows: it is loaded, if memory allows.

    Parameters
    ----------
    source, target
        Paths; a directory or the ending ``.zarr`` means zarr, anything else h5ad.
    max_memory
        Bytes that the process may take, libraries and tables included; from 1 GiB.
    options
        Those of :func:`scae.pp.recipe`: ``qc_vars, percent_top, min_genes, min_cells, target_sum, n_top_genes, flavor,
        batch_key, key_counts``.

    Returns
    -------
    Cells and genes before and after, the number of variable genes, and both paths.

    Raises
    ------
    ConfigError
        If ``max_memory`` is too small, or source and target are the same.
    CountsError
        If no cell has ``min_genes`` expressed genes.
    MissingKeyError
        If the source does not exist or has no ``X``.

    Examples
    --------
    >>> import anndata, numpy as np, pathlib, tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> counts = np.random.default_rng(0).poisson(1.0, (60, 40)).astype("float32")
    >>> anndata.AnnData(counts).write_h5ad(folder / "in.h5ad")
    >>> done = preprocess_file(folder / "in.h5ad", folder / "out.h5ad", min_genes=5, n_top_genes=10, percent_top=())
    >>> done["cells"], done["genes"], done["highly_variable"]
    ([60, 60], [40, 40], 10)
    """
    source, target = Path(source), Path(target)
    if source.resolve() == target.resolve():
        raise ConfigError(f"source and target are both {str(source)!r}: name another file for the result.")
    if max_memory < 1 << 30:
        raise ConfigError(f"max_memory is {max_memory} bytes: give at least 1G (the libraries alone take half of it).")
    settings = Settings(**options)
    with store.open_read(source) as root, store.open_write(target) as out:
        return _run(root, out, settings, max_memory) | {"source": str(source), "target": str(target)}


def _run(root: Any, out: Any, s: Settings, max_memory: int) -> dict[str, Any]:
    x = store.matrix(root)
    if getattr(x, "format", None) == "csc" and x.group["data"].size * 24 > max_memory:
        raise ConfigError("X is stored by columns (CSC) and too large to be loaded: write it as CSR, or raise max_memory.")
    small = AnnData(obs=store.element(root, "obs", pd.DataFrame()), var=store.element(root, "var", pd.DataFrame()))
    size = min((max_memory - (700 << 20)) // _BLOCKS_ALIVE, 256 << 20)
    cells, genes = _filtered(x, small, s, size)
    some_left(cells, s)
    result = AnnData(obs=small.obs.loc[cells].copy(), var=small.var.loc[genes].copy())
    factors = _factors(x, cells, genes, s, size)
    moments = _write_matrices(x, out, (cells, genes, factors), s, size)
    for name in _CARRIED:
        carried = store.element(root, name, {})
        keep = {"obsm": cells, "varm": genes}.get(name)
        write_elem(out, name, carried if keep is None else {k: v[keep] for k, v in carried.items()})
    _mark_genes(out, result, moments, s)
    for name in ("obs", "var"):
        write_elem(out, name, getattr(result, name))
    return {
        "cells": [len(cells), int(cells.sum())],
        "genes": [len(genes), int(genes.sum())],
        "highly_variable": int(result.var["highly_variable"].sum()),
    }


def _filtered(x: Any, small: AnnData, s: Settings, size: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """First reading: metrics into the tables, and the masks of cells and genes that are kept."""
    tops = sorted(n for n in s.percent_top if n <= x.shape[1])
    names = [s.qc_vars] if isinstance(s.qc_vars, str) else list(s.qc_vars)
    weights, ns = gene_weights(small, names, x.shape[1]), np.unique(np.array(tops, np.int64))
    parts, n_cells = [], np.zeros(x.shape[1], np.int64)
    for _, block in _blocks(x, size):
        found = quality_sums(block, weights, ns)
        few = np.flatnonzero(found.cells[:, 1] < s.min_genes)
        n_cells += found.genes[:, 1].astype(np.int64)
        if few.size:
            n_cells -= sums.columns(next(memory_blocks(block[few])), sums.NONZERO)[0][:, 1].astype(np.int64)
        parts.append(found)
    total = joined(parts)
    words = ("counts", "genes", True)
    of_cells, of_genes = cell_metrics(total, x, names, tops, words), gene_metrics(total.genes, x, words)
    for table, columns in ((small.obs, of_cells), (small.var, of_genes)):
        table[list(columns)] = pd.DataFrame(columns, index=table.index)
    small.obs["n_genes"], small.var["n_cells"] = total.cells[:, 1].astype(np.int64), n_cells
    return total.cells[:, 1] >= s.min_genes, n_cells >= s.min_cells


def _blocks(x: Any, size: int) -> Iterator[tuple[int, Any]]:
    start = 0
    for block in blocks.row_blocks(x, size):
        if sparse.issparse(block) and not block.has_canonical_format:
            block.sum_duplicates()  # in place: the block is ours
        yield start, block
        start += block.shape[0]


def _kept(x: Any, cells: NDArray[np.bool_], genes: NDArray[np.bool_], size: int) -> Iterator[Rows]:
    """Blocks of the cells and genes that are kept, as float CSR rows."""
    for start, block in _blocks(x, size):
        for rows in memory_blocks(block):
            floats = rows if rows.data.dtype in (np.float32, np.float64) else rows._replace(data=rows.data.astype(np.float32))
            yield reshape.keep(floats, cells[start : start + rows.n_rows], genes)
            start += rows.n_rows


def _factors(x: Any, cells: NDArray[np.bool_], genes: NDArray[np.bool_], s: Settings, size: int) -> float:
    """The total that each cell is brought to; only a median costs another reading."""
    if s.target_sum is not None:
        return s.target_sum
    totals = [sums.rows(m)[:, 0].astype(m.data.dtype) for m in _kept(x, cells, genes, size)]
    return float(np.median(np.concatenate(totals)))


def _write_matrices(
    x: Any, out: Any, kept: tuple[NDArray[np.bool_], NDArray[np.bool_], float], s: Settings, size: int
) -> NDArray[np.float64]:
    """Second reading: counts and log-normalised values to the new store; the genes' moments."""
    cells, genes, target = kept
    n_genes = int(genes.sum())
    out.create_group("layers").attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})
    counts, values = store.CsrWriter(out, f"layers/{s.key_counts}", n_genes), store.CsrWriter(out, "X", n_genes)
    moments = np.zeros((n_genes, 2))
    for m in _kept(x, cells, genes, size):
        factors = sums.rows(m)[:, 0] / target
        lengths = np.diff(m.indptr)
        counts.append(lengths, m.indices, m.data)
        safe = np.where(factors == 0, 1, factors)
        _, found = log_normalised(m, safe, moments_of_logs=s.flavor == "cell_ranger", out=m.data)
        values.append(lengths, m.indices, m.data)
        moments += found
    counts.close()
    values.close()
    return moments


def _mark_genes(out: Any, result: AnnData, moments: NDArray[np.float64], s: Settings) -> None:
    write_elem(out, "uns/log1p", {})
    if s.one_pass:
        mark(result.var, moments, result.n_obs, s)
    else:
        name = f"layers/{s.key_counts}" if s.flavor in ON_COUNTS else "X"
        whole = AnnData(store.matrix(out, name), obs=result.obs, var=result.var)
        highly_variable_genes(whole, flavor=s.flavor, n_top_genes=s.n_top_genes, batch_key=s.batch_key)
        result.var = whole.var
    write_elem(out, "uns/hvg", {"flavor": s.flavor})
