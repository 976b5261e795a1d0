"""The same cells twice: each molecule goes to one of two halves at random."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from .evaluate import split
from .source import CountMatrix

_CELLS = 4096  # evenly spaced: enough for a spread to be within two per cent
_WHOLE = 1e-6  # half a molecule cannot be drawn


def halves(source: CountMatrix, seed: int) -> tuple[CountMatrix, CountMatrix] | None:
    """Two halves of the molecules of at most 4,096 cells; of cells with a molecule in both.

    Returns
    -------
    tuple or None
        The cells with either half of their counts, and with a library size to scale. None if counts are not whole.
    """
    rows = np.unique(np.linspace(0, len(source) - 1, min(len(source), _CELLS)).astype(np.int64))
    counts = sp.csr_matrix((source.value, source.gene, source.indptr), (len(source), source.n_genes))[rows]
    if np.any(np.abs(counts.data - np.rint(counts.data)) > _WHOLE):
        return None
    parts = split(counts, 0.5, seed)
    both = np.diff(parts.test.indptr) > 0
    rows, total = rows[parts.cells][both], np.asarray(counts[parts.cells][both].sum(1))
    one, two = (_with(source, rows, half[both], total) for half in (parts.train, parts.test))
    return one, two


def _with(source: CountMatrix, rows: NDArray[np.int64], counts: sp.csr_matrix, total: NDArray) -> CountMatrix:
    """Some of the cells with a part of their counts."""
    share = np.asarray(counts.sum(1)) / total
    return replace(
        source,
        indptr=counts.indptr.astype(np.int64),
        gene=counts.indices.astype(np.int64),
        value=counts.data,
        library=(source.library[rows] * share).astype(source.library.dtype),
        covariates=source.covariates[rows],
        continuous=source.continuous[rows],
        batch=None if source.batch is None else source.batch[rows],
        label=None if source.label is None else source.label[rows],
    )
