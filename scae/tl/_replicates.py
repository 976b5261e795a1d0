"""Comparison of groups over replicates such as donors, whose counts are summed: moderated t-tests of log rates."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import digamma, polygamma

from ._contrasts import Contrast, normal_score

Array = NDArray[np.float64]
Codes = NDArray[np.int64]
_PSEUDO = 0.5  # counts


def replicated_contrast(x: sp.csr_matrix, size: Array, side: Codes, replicate: Codes, stratum: Codes) -> Contrast:
    """Compare the cells of ``side`` 0 with those of ``side`` 1, over replicates.

    The counts of a replicate's cells of one side are summed. Their log rates are compared by weighted least squares, with an
    effect for each stratum, and for each replicate that has cells of both sides (a paired test); residual variances are moderated
    over genes (Smyth 2004).

    Parameters
    ----------
    x
        Cells × genes.
    size
        Library sizes ``(cells,)``, on average 1.
    side
        0, 1, or −1 for cells that are not compared.
    replicate, stratum
        Codes, ``(cells,)``.
    """
    unit, design = _design(side, replicate, stratum)
    df = len(design) - np.linalg.matrix_rank(design)
    if free(side, replicate, stratum) < 1:
        return Contrast(*np.full((3, x.shape[1]), np.nan))
    rows = np.flatnonzero(side >= 0)
    adder = sp.csr_matrix((np.ones(rows.size), (unit, rows)), (len(design), x.shape[0]))
    counts, exposure = (adder @ x).toarray(), adder @ size  # (units, genes), (units,)
    y = np.log((counts + _PSEUDO * exposure[:, None] / exposure.mean()) / np.maximum(exposure, 1e-12)[:, None])
    expected = np.maximum(exposure[:, None] * counts.sum(0) / exposure.sum(), _PSEUDO)
    enough = (expected.mean(0) >= 1) & (counts.sum(0) > 0)
    spread = _spread(y, expected, design, enough)
    lfc, unscaled, s2 = _least_squares(y, 1 / (1 / expected + spread), design)
    prior_df, prior = _prior(s2[enough], df)
    total_df = df + min(prior_df, 1e6)
    s2 = (df * s2 + min(prior_df, 1e6) * prior) / total_df
    sd = np.sqrt(s2 * unscaled)
    score = normal_score(lfc / sd, total_df)
    known = counts.sum(0) > 0
    return Contrast(*(np.where(known, v, np.nan) for v in (score, lfc, sd)))


def free(side: Codes, replicate: Codes, stratum: Codes) -> int:
    """Degrees of freedom of the residual; 0 if the effect of the side cannot be told from the others."""
    design = _design(side, replicate, stratum)[1]
    rank = np.linalg.matrix_rank(design)
    return int(len(design) - rank) if np.linalg.matrix_rank(design[:, 1:]) < rank else 0


def _design(side: Codes, replicate: Codes, stratum: Codes) -> tuple[Codes, Array]:
    """Unit of each cell that is compared, and the design ``(units, effects)``, whose columns may be dependent.

    A unit is the cells of one side of one replicate in one stratum. The effects are the side, the strata, and the replicates that
    have both sides.
    """
    rows = np.flatnonzero(side >= 0)
    keys = np.stack([side[rows], replicate[rows], stratum[rows]], 1)
    units, which = np.unique(keys, axis=0, return_inverse=True)
    paired = np.intersect1d(*(units[units[:, 0] == i, 1] for i in (0, 1)))
    blocks = (units[:, :1] == 0, units[:, 2:] == np.unique(units[:, 2]), units[:, 1:2] == paired)
    return which.ravel(), np.hstack(blocks).astype(np.float64)


def _least_squares(y: Array, weight: Array, design: Array) -> tuple[Array, Array, Array]:
    """Effect of the side, its variance relative to the residual variance, and the residual variance, ``(genes,)`` each."""
    gram = np.einsum("ui,ug,uj->gij", design, weight, design)
    inverse = np.linalg.pinv(gram, hermitian=True)
    effects = np.einsum("gij,uj,ug->gi", inverse, design, weight * y)
    residual = y - design @ effects.T
    df = len(y) - np.linalg.matrix_rank(design)
    return effects[:, 0], inverse[:, 0, 0], (weight * residual**2).sum(0) / df


def _spread(y: Array, expected: Array, design: Array, enough: NDArray[np.bool_]) -> float:
    """Variance of log rates between replicates that is common to the genes: what their sampling variance leaves unexplained."""
    residual = _least_squares(y[:, enough], np.ones_like(y[:, enough]), design)[2] if enough.any() else np.zeros(1)
    sampling = (1 / expected[:, enough]).mean(0) if enough.any() else np.zeros(1)
    return float(max(np.median(residual - sampling), 1e-4))


def _prior(s2: Array, df: int) -> tuple[float, float]:
    """Degrees of freedom and scale of the prior of residual variances, by the moments of their logarithms (Smyth 2004)."""
    s2 = s2[s2 > 1e-12]
    if s2.size < 2:
        return 0.0, 0.0
    e = np.log(s2) - digamma(df / 2) + np.log(df / 2)
    excess = e.var(ddof=1) - polygamma(1, df / 2)
    if excess <= 0:
        return np.inf, float(np.exp(e.mean()))
    half = _inverse_trigamma(float(excess))
    return 2 * half, float(np.exp(e.mean() + digamma(half) - np.log(half)))


def _inverse_trigamma(value: float) -> float:
    """The x at which trigamma(x) is ``value`` > 0, by Newton's method on 1 / trigamma."""
    x = 0.5 + 1 / value
    for _ in range(50):
        tri = polygamma(1, x)
        step = tri * (1 - tri / value) / polygamma(2, x)
        x += step
        if abs(step) < 1e-10 * x:
            break
    return float(x)
