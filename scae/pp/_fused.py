"""Normalisation, logarithm and gene moments in one pass over the counts, piece by piece in cache."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..kernels import sums
from ..kernels.rows import Rows, each_chunk, n_chunks, pieces


def log_normalised(
    m: Rows, factors: NDArray, *, moments_of_logs: bool, out: NDArray | None = None
) -> tuple[NDArray, NDArray[np.float64]]:
    """log(1 + value / factor) of each stored value, and each gene's Σv and Σv².

    Parameters
    ----------
    m
        Counts, float32 or float64.
    factors
        Divisor of each cell, ``(cells,)``; not 0.
    moments_of_logs
        Sum the logarithms rather than the normalised values.
    out
        Where to put the values, ``(nnz,)``; may be the counts themselves.

    Returns
    -------
    The values, ``(nnz,)``, and the sums, ``(genes, 2)``.
    """
    out = np.empty_like(m.data) if out is None else out
    chunks = n_chunks(m)
    moments = np.zeros((chunks, m.n_columns, 2))
    lengths = np.diff(m.indptr)
    factors = factors.astype(m.data.dtype, copy=False)

    def work(chunk: int, start: int, stop: int) -> None:
        for p in pieces(m, start, stop, np.asarray):  # small pieces, not copied
            values = out[p.offset : p.offset + p.data.size]
            np.divide(p.data, np.repeat(factors[p.start : p.stop], lengths[p.start : p.stop]), out=values)
            if not moments_of_logs:
                sums.add_columns(m.indptr, p, values, sums.SQUARES, moments[chunk])
            np.log1p(values, out=values)
            if moments_of_logs:
                sums.add_columns(m.indptr, p, values, sums.SQUARES, moments[chunk])

    each_chunk(m, chunks, work)
    return out, moments.sum(axis=0)
