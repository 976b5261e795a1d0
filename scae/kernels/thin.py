"""Draws from binomial distributions by inversion of uniform random numbers."""

from __future__ import annotations

import math

from .jit import jit

MOST = 200.0  # largest count that is drawn; for larger counts, (1 − p)^n could underflow


@jit
def _power(x, n):
    """Return xⁿ for a whole n ≥ 1 by repeated squaring, which is faster than a power of any exponent."""
    left, out = int(n), 1.0
    while left:
        if left & 1:
            out *= x
        x *= x
        left >>= 1
    return out


@jit
def _draw(n, p, u):
    """Return a draw from Binomial(n, p) for n from 0 to ``MOST``."""
    if not n > 0.0:
        return 0.0
    count_failures = p > 0.5  # the rarer outcome is counted, so that the first probability is at least 2⁻ⁿ
    if count_failures:
        p = 1.0 - p
    if n == 1.0:  # most counts
        return 1.0 if (u >= 1.0 - p) != count_failures else 0.0
    odds, mass, k = p / (1.0 - p), _power(1.0 - p, n), 0.0
    cumulative = mass
    while u >= cumulative and k < n:
        mass *= odds * (n - k) / (k + 1.0)
        cumulative += mass
        k += 1.0
    return n - k if count_failures else k


@jit
def thinned(start, stop, indptr, value, share, uniform, out):
    """Keep each molecule of a cell with the probability of the cell, by inversion of one uniform random number per count.

    The fractional part of a count is multiplied by that probability, its expectation.

    Parameters
    ----------
    start, stop : int
        Range of cells.
    indptr, value : arrays
        Row pointers and stored counts. Counts above ``MOST`` are skipped: their ``out`` is not written.
    share : array, shape (cells,)
        Probabilities.
    uniform : array, shape (nnz,)
        Uniform random numbers, at least 0 and below 1.
    out : array, shape (nnz,)
        Numbers of molecules kept.
    """
    for row in range(start, stop):
        p = float(share[row])
        for k in range(indptr[row], indptr[row + 1]):
            n = math.floor(value[k])
            if n <= MOST:
                out[k] = _draw(n, p, float(uniform[k])) + (value[k] - n) * p
