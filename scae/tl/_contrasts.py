"""Comparison of the counts of groups of cells, gene by gene: a score test and log fold changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import ndtr

from ..kernels.group_sums import CCCS, CCCSS, CCCSSS, CCS, CCSS, CCSX, CCXX, CS, CX, group_sums

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sums:
    """What the counts of some genes sum up to in each group of each batch, and their overdispersion.

    Attributes
    ----------
    values
        ``(genes, groups, batches, 9)``, see :func:`scae.kernels.group_sums.group_sums`.
    alpha
        Overdispersion within groups, ``(genes,)``: the variance of a count is μ + αμ².
    """

    values: Array
    alpha: Array


@dataclass(frozen=True)
class Contrast:
    """A comparison of some cells with others, ``(genes,)`` each; NaN where it cannot be made.

    Attributes
    ----------
    score
        Standard normal under the null hypothesis of equal rates.
    lfc, sd
        Log ratio of the rates and its standard error, natural logarithm.
    """

    score: Array
    lfc: Array
    sd: Array

    @property
    def p(self) -> Array:
        """Two-sided p-value."""
        return np.minimum(2 * ndtr(-np.abs(self.score)), 1)


def sums(counts: sp.csc_matrix, size: Array, group: NDArray[np.int64], batch: NDArray[np.int64], shape: tuple[int, int]) -> Sums:
    """Sum the counts of each gene over each group of each batch.

    Parameters
    ----------
    counts
        Cells × genes.
    size
        Library sizes, ``(cells,)``.
    group, batch
        Codes, ``(cells,)``.
    shape
        Number of groups and of batches.
    """
    place = group * shape[1] + batch
    n = np.bincount(place, minlength=shape[0] * shape[1])
    start = group_sums(counts, size, place, np.zeros((counts.shape[1], n.size)), np.zeros(counts.shape[1]))
    alpha = _overdispersion(start, n)
    whole = start.reshape(-1, *shape, start.shape[-1]).sum(1)
    rate = np.tile(_ratio(whole[..., CX], whole[..., CS]), shape[0])  # of all groups: the weights are those of the null hypothesis
    weighted = group_sums(counts, size, place, rate, alpha)
    return Sums(weighted.reshape(-1, *shape, weighted.shape[-1]), _overdispersion(weighted, n))


def _ratio(a: Array, b: Array) -> Array:
    return np.divide(a, b, out=np.zeros(np.broadcast_shapes(a.shape, b.shape)), where=b > 0)


def _overdispersion(s: Array, n: NDArray[np.int64]) -> Array:
    """α by moments: squared residuals from the rate of each group are as large as expected."""
    rate = _ratio(s[..., CX], s[..., CS])
    squares = s[..., CCXX] - 2 * rate * s[..., CCSX] + rate**2 * s[..., CCSS]
    excess = squares * _ratio(n.astype(float), n - 1.0) - rate * s[..., CCS]
    excess[..., n < 2] = 0
    return np.maximum(_ratio(excess.sum(-1), (rate**2 * s[..., CCSS])[..., n > 1].sum(-1)), 0)


def contrast(s: Sums, one: int, rest: NDArray[np.int64]) -> Contrast:
    """Compare the group ``one`` with the groups ``rest`` within batches.

    The test is a score test: under the null hypothesis, cells of a batch have one rate. The variance is that of a negative
    binomial, whose overdispersion is that within groups; the skewness is removed (Wilson and Hilferty 1931).
    """
    a = s.values[:, one]  # (genes, batches, 9)
    b = s.values[:, rest].sum(1)
    both = _ratio(a[..., CS] * b[..., CS], a[..., CS] * b[..., CS]) > 0
    a, b = a * both[..., None], b * both[..., None]
    total = a[..., CS] + b[..., CS]
    share = _ratio(a[..., CS], total)
    rate = _ratio(a[..., CX] + b[..., CX], total)
    alpha = s.alpha[:, None]
    spread = _ratio(rate, _ratio(b[..., CX], b[..., CS]))  # brings the rates of the rest to the null hypothesis
    each = _ratio(s.values[:, rest][..., CX], s.values[:, rest][..., CS]) * spread[:, None]
    each = np.where((b[..., CX] > 0)[:, None], each, rate[:, None])
    var_a, third_a = _moments(a, rate, alpha)
    var_b, third_b = _moments(s.values[:, rest] * both[:, None, :, None], each, alpha[:, None])
    var_b, third_b = var_b.sum(1), third_b.sum(1)
    u = ((1 - share) * a[..., CX] - share * b[..., CX]).sum(-1)
    variance = ((1 - share) ** 2 * var_a + share**2 * var_b).sum(-1)
    third = ((1 - share) ** 3 * third_a - share**3 * third_b).sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        score = _without_skewness(u / np.sqrt(variance), third / variance**1.5)
    lfc, sd = _lfc(s, one, rest, both, (var_a, var_b, rate))
    known = variance > 0
    return Contrast(*(np.where(known, v, np.nan) for v in (score, lfc, sd)))


def _moments(s: Array, rate: Array, alpha: Array) -> tuple[Array, Array]:
    """Variance and third central moment of Σ c x, if x is negative binomial."""
    variance = rate * s[..., CCS] + alpha * rate**2 * s[..., CCSS]
    third = rate * s[..., CCCS] + 3 * alpha * rate**2 * s[..., CCCSS] + 2 * alpha**2 * rate**3 * s[..., CCCSSS]
    return variance, third


def _without_skewness(z: Array, skewness: Array) -> Array:
    """The normal score of a gamma variable with this skewness, by the cube root (Wilson and Hilferty 1931)."""
    g = np.where(np.abs(skewness) < 1e-4, 1e-4, skewness)
    return (np.cbrt(np.maximum(1 + g * z / 2, 0)) - 1 + g**2 / 36) * 6 / g


def _lfc(s: Sums, one: int, rest: NDArray[np.int64], both: NDArray[np.bool_], null: tuple[Array, Array, Array]) -> tuple[Array, Array]:
    """Log ratio of the rates, over batches as by Mantel and Haenszel, and its standard error by the delta method."""
    a, others = s.values[:, one] * both[..., None], s.values[:, rest] * both[:, None, :, None]
    b, alpha = others.sum(1), s.alpha[:, None]
    total = a[..., CS] + b[..., CS]
    wa, wb = _ratio(b[..., CS], total), _ratio(a[..., CS], total)
    expected = (null[2] * a[..., CS] * b[..., CS] / np.where(total > 0, total, 1)).sum(-1)
    logs, variances = [], []
    for x, w, at_null in ((a[:, None], wa, null[0]), (others, wb, null[1])):
        half = 0.5 * _ratio((w**2 * at_null).sum(-1), expected)  # half a count, in effective counts
        value = (w * x[..., CX].sum(1)).sum(-1) + half
        rate = _ratio(x[..., CX], x[..., CS])
        variance = (w**2 * _moments(x, rate, alpha[:, None])[0].sum(1)).sum(-1)
        fano = _ratio((w**2 * at_null).sum(-1), expected)
        logs.append(np.log(np.where(value > 0, value, 1)))
        variances.append(_ratio(variance + half * fano, value**2))
    return logs[0] - logs[1], np.sqrt(sum(variances))
