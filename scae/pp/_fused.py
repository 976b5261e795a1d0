"""Normalisation, log1p and the sums for gene means and variances in one pass over the counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..kernels import sums
from ..kernels.rows import Rows, each_chunk, n_chunks, pieces


def log_normalised(
    m: Rows, factors: NDArray, *, moments_of_logs: bool, out: NDArray | None = None
) -> tuple[NDArray, NDArray[np.float64]]:
    """Compute log(1 + value / factor) of each stored value, and Σv and Σv² of each gene.

    Parameters
    ----------
    m : Rows
        Counts, float32 or float64.
    factors : array, shape (cells,)
        Divisor of each cell, not 0.
    moments_of_logs : bool
        If true, v in the sums is the logarithm; if false, the normalised value.
    out : array, shape (nnz,), optional
        Array for the results; may be ``m.data`` itself.

    Returns
    -------
    array, shape (nnz,)
        The logarithms, in the dtype of the counts.
    array, shape (genes, 2), float64
        The sums.
    """
    out = np.empty_like(m.data) if out is None else out
    chunks = n_chunks(m)
    moments = np.zeros((chunks, m.n_columns, 2))
    lengths = np.diff(m.indptr)
    factors = factors.astype(m.data.dtype, copy=False)

    def work(chunk: int, start: int, stop: int) -> None:
        for p in pieces(m, start, stop, np.asarray):  # the identity: with it, pieces fit in cache
            values = out[p.offset : p.offset + p.data.size]
            np.divide(p.data, np.repeat(factors[p.start : p.stop], lengths[p.start : p.stop]), out=values)
            if not moments_of_logs:
                sums.add_columns(m.indptr, p, values, sums.SQUARES, moments[chunk])
            np.log1p(values, out=values)
            if moments_of_logs:
                sums.add_columns(m.indptr, p, values, sums.SQUARES, moments[chunk])

    each_chunk(m, chunks, work)
    return out, moments.sum(axis=0)
