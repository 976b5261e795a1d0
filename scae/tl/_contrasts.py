"""Comparison of the counts of groups of cells, gene by gene: a score test and log fold changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri_exp
from scipy.stats import t as student

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
    rate = np.tile(
        _ratio(whole[..., CX], whole[..., CS]), shape[0]
    )  # of all groups: the weights are those of the null hypothesis
    weighted = group_sums(counts, size, place, rate, alpha)
    return Sums(weighted.reshape(-1, *shape, weighted.shape[-1]), _overdispersion(weighted, n))


def _ratio(a: Array, b: Array) -> Array:
    return np.divide(a, b, out=np.zeros(np.broadcast_shapes(a.shape, b.shape)), where=b > 0)


def _overdispersion(s: Array, n: NDArray[np.int64]) -> Array:
    """α by moments: the squared residuals from the rate of each group are as large as expected."""
    rate = _ratio(s[..., CX], s[..., CS])
    squares = s[..., CCXX] - 2 * rate * s[..., CCSX] + rate**2 * s[..., CCSS]
    unbiased = n / np.maximum(n - 1, 1)
    several = n > 1
    excess: Array = ((squares * unbiased - rate * s[..., CCS]) * several).sum(-1)
    scale: Array = (rate**2 * s[..., CCSS] * several).sum(-1)
    return np.maximum(_ratio(excess, scale), 0)


def contrast(s: Sums, one: int, rest: NDArray[np.int64]) -> Contrast:
    """Compare the group ``one`` with the groups ``rest`` within batches.

    The test is a score test: under the null hypothesis, cells of a batch have one rate. The variance is that of a negative
    binomial, whose overdispersion is that within groups; the skewness is removed (Wilson and Hilferty 1931). The fold change is
    pooled over batches as by Mantel and Haenszel, and its standard error is that of the delta method.
    """
    a, b = s.values[:, [one]], s.values[:, rest]  # (genes, groups, batches, 9) each
    a_size, b_size = a[..., CS].sum(1), b[..., CS].sum(1)  # (genes, batches)
    total = a_size + b_size
    null = _ratio((a[..., CX] + b[..., CX].sum(1, keepdims=True)).sum(1), total)  # the rate under the null hypothesis
    sides = _Side(a, _ratio(b_size, total), null, s.alpha), _Side(b, _ratio(a_size, total), null, s.alpha)
    u = sides[0].value - sides[1].value
    variance = sides[0].variance + sides[1].variance
    third = sides[0].third - sides[1].third
    with np.errstate(invalid="ignore", divide="ignore"):
        score = _without_skewness(u / np.sqrt(variance), third / variance**1.5)
    logs, errors = zip(*(side.log_rate((null * a_size * _ratio(b_size, total)).sum(-1)) for side in sides), strict=True)
    known = variance > 0
    return Contrast(*(np.where(known, v, np.nan) for v in (score, logs[0] - logs[1], np.sqrt(sum(errors)))))


class _Side:
    """The weighted sum of the counts of one side of a comparison, ``(genes,)`` each, with its moments under the null hypothesis.

    Parameters
    ----------
    sums
        ``(genes, groups, batches, 9)``.
    weight
        Of each batch, ``(genes, batches)``: the share of the other side.
    null
        The rate under the null hypothesis, ``(genes, batches)``.
    alpha
        Overdispersion, ``(genes,)``.
    """

    def __init__(self, sums: Array, weight: Array, null: Array, alpha: Array) -> None:
        self.sums, self.weight, self.alpha = sums, weight, alpha[:, None, None]
        self.rate = _ratio(sums[..., CX], sums[..., CS])  # of each group
        self.value = (weight * sums[..., CX].sum(1)).sum(-1)
        own = _ratio(sums[..., CX].sum(1), sums[..., CS].sum(1))  # of all its groups, which keep their ratios to each other
        at_null = np.where((own > 0)[:, None], self.rate * _ratio(null, own)[:, None], null[:, None])
        variance, third = _moments(sums, at_null, self.alpha)
        self.variance = (weight**2 * variance.sum(1)).sum(-1)
        self.third = (weight**3 * third.sum(1)).sum(-1)

    def log_rate(self, expected: Array) -> tuple[Array, Array]:
        """Log of the value, up to a constant of both sides, and its variance; half an effective count is added to both."""
        unit = _ratio(self.variance, expected)  # of an effective count: its variance is its mean times this
        value = self.value + unit / 2
        variance = (self.weight**2 * _moments(self.sums, self.rate, self.alpha)[0].sum(1)).sum(-1) + unit**2 / 2
        return np.log(np.where(value > 0, value, 1)), _ratio(variance, value**2)


def _moments(s: Array, rate: Array, alpha: Array) -> tuple[Array, Array]:
    """Variance and third central moment of Σ c x, if x is negative binomial."""
    variance = rate * s[..., CCS] + alpha * rate**2 * s[..., CCSS]
    third = rate * s[..., CCCS] + 3 * alpha * rate**2 * s[..., CCCSS] + 2 * alpha**2 * rate**3 * s[..., CCCSSS]
    return variance, third


def _without_skewness(z: Array, skewness: Array) -> Array:
    """The normal score of a gamma variable with this skewness, by the cube root (Wilson and Hilferty 1931)."""
    g = np.where(np.abs(skewness) < 1e-4, 1e-4, skewness)
    return (np.cbrt(np.maximum(1 + g * z / 2, 0)) - 1 + g**2 / 36) * 6 / g


def normal_score(t: Array, df: float) -> Array:
    """The normal score that has the same p-value as a t statistic."""
    return -np.sign(t) * ndtri_exp(student.logsf(np.abs(t), df))
