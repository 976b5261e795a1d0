"""Random counts for the tests of kernels."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from scae.kernels.rows import Rows


def counts(dtype: str = "float32", n: int = 300, genes: int = 40) -> np.ndarray:
    """Return sparse counts ``(n, genes)`` with an empty row and an empty column."""
    values = np.random.default_rng(0).poisson(0.7, (n, genes))
    values[3], values[:, 5] = 0, 0
    return values.astype(dtype)


def rows_of(values: np.ndarray) -> Rows:
    """Convert a dense array to CSR rows that store only the nonzero values."""
    return Rows.of(sp.csr_matrix(values))


def unsorted(values: np.ndarray) -> Rows:
    """Convert a dense array to CSR rows with descending columns."""
    m = rows_of(values)
    order = np.concatenate([np.arange(a, b)[::-1] for a, b in zip(m.indptr[:-1], m.indptr[1:], strict=True)])
    return m._replace(indices=m.indices[order], data=m.data[order])
