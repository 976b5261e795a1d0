"""Principal components of a sparse matrix, without the part that covariates explain."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from .. import threads
from .jit import jit

_PARTS = 8  # ranges of rows whose sums are added in order, so that the bits do not depend on the number of threads
_TOL = 1e-6  # residual of an eigenvector, relative to its eigenvalue; the angle is at most this over the relative gap
_FEWEST = 20  # vectors that the iteration needs at least


class Components(NamedTuple):
    """The best approximation ``design @ effects + scores @ axes.T`` of a matrix, float64."""

    axes: NDArray[np.float64]  # (columns, k), orthonormal; the entry of greatest size is positive
    effects: NDArray[np.float64]  # (design columns, columns)
    residual: NDArray[np.float64]  # (columns,), mean squared residual


def components(x: sp.csr_matrix, design: NDArray, k: int, *, seed: int = 0) -> Components:
    """Principal components of what linear regression on ``design`` leaves of a sparse matrix, which is never made dense.

    A column of ones in ``design`` centres the matrix, and the result is PCA. No sum of a term that is linear in ``design`` and
    one of rank k has a smaller squared error: the residuals are orthogonal to what the design explains, so the two are found in
    turn, the second by a truncated singular value decomposition (Eckart and Young 1936, doi:10.1007/BF02288367).

    Parameters
    ----------
    x : csr_matrix
        Sparse matrix, float.
    design : array, shape (rows, design columns)
        Regressors, which may be linearly dependent.
    k : int
        Number of components. Those beyond the rank of the residuals have zero axes.
    seed : int
        Seed of the vector with which the iteration starts.

    Returns
    -------
    Components

    References
    ----------
    Lehoucq, Sorensen and Yang (1998), ARPACK users' guide, doi:10.1137/1.9780898719628.

    Examples
    --------
    >>> x = sp.csr_matrix(np.array([[0.0, 1.0], [0.0, 2.0], [0.0, 6.0]]))
    >>> components(x, np.ones((3, 1)), 1).axes.ravel().tolist()
    [0.0, 1.0]
    """
    by_row = x.shape[0] < x.shape[1]  # the smaller side has the smaller eigenvalue problem
    across = x.T.tocsr() if by_row else x.T
    by_design = (across @ design).T  # (design columns, columns)
    inverse = np.linalg.pinv(design.T @ design, hermitian=True)
    effects = inverse @ by_design

    def columns(v: NDArray) -> NDArray:  # RᵀR v; the residuals R = x − design @ effects are orthogonal to the design
        return _gram(x, v) - by_design.T @ (effects @ v)

    def rows(u: NDArray) -> NDArray:  # RRᵀ u
        product = _gram(across, u - design @ (inverse @ (design.T @ u)))
        return product - design @ (inverse @ (design.T @ product))

    raw = np.bincount(x.indices, np.square(x.data, dtype=np.float64), x.shape[1])
    square = np.maximum(raw - (effects * by_design).sum(0), 0)
    axes, size = np.zeros((x.shape[1], k)), np.zeros(k)
    if square.sum() > 1e-12 * raw.sum():  # else the design explains everything
        value, vector = _leading(rows if by_row else columns, min(x.shape), k, seed)
        if by_row:
            vector = across @ vector - by_design.T @ (inverse @ (design.T @ vector))
        length = np.linalg.norm(vector, axis=0)
        kept = value > value[0] * max(x.shape) * np.finfo(float).eps
        axes[:, : kept.sum()], size[: kept.sum()] = vector[:, kept] / length[kept], value[kept]
        axes *= np.sign(axes[np.abs(axes).argmax(0), np.arange(k)])
    return Components(axes, effects, np.maximum(square - axes**2 @ size, 0) / max(x.shape[0], 1))


def _leading(gram: Callable[[NDArray], NDArray], n: int, k: int, seed: int) -> tuple[NDArray, NDArray]:
    """The greatest eigenvalues of a symmetric operator, at most k in falling order, and their vectors ``(n, k)``."""
    from scipy.sparse.linalg import LinearOperator, eigsh

    if n <= max(2 * k + 1, _FEWEST):
        value, vector = np.linalg.eigh(np.stack([gram(unit) for unit in np.eye(n)]))
    else:
        first = np.random.default_rng(seed).uniform(-1, 1, n)
        value, vector = eigsh(LinearOperator((n, n), lambda v: gram(v.ravel()), dtype=np.float64), k, v0=first, tol=_TOL)
    return value[::-1][:k], vector[:, ::-1][:, :k]


def _gram(x: sp.csr_matrix, v: NDArray) -> NDArray[np.float64]:
    """``x.T @ x @ v`` in one pass over a sparse matrix, summed in float64 whatever its dtype."""
    cuts = np.linspace(0, x.shape[0], _PARTS + 1).astype(np.int64)
    parts = np.zeros((_PARTS, x.shape[1]))
    column = x.indices.view(f"u{x.indices.itemsize}")  # no index is tested for being negative, which costs a sixth of the time
    threads.run(_add_gram, _PARTS, cuts, x.indptr, column, x.data, v, parts, work=x.nnz)
    return parts.sum(0)


@jit(reorder=True)
def _add_gram(start, stop, cuts, indptr, column, value, v, out):
    """Add each row of some parts of a CSR matrix, times its product with ``v``, to the part's row of ``out``.

    Views of a row make the loops two to three times as fast as indices into the whole arrays.
    """
    for part in range(start, stop):
        total = out[part]
        for row in range(cuts[part], cuts[part + 1]):
            at, x = column[indptr[row] : indptr[row + 1]], value[indptr[row] : indptr[row + 1]]
            product = 0.0
            for k in range(at.size):
                product += x[k] * v[at[k]]
            for k in range(at.size):
                total[at[k]] += x[k] * product
