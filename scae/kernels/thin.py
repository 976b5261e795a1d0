"""Draws from binomial distributions by inversion of uniform random numbers."""

from __future__ import annotations

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
def binomial_draws(start, stop, count, share, uniform, out):
    """Draw from Binomial(count, share) by inversion of one uniform random number per draw.

    Parameters
    ----------
    start, stop : int
        Range of the draws.
    count : array, shape (n,)
        Whole numbers of trials. Entries above ``MOST`` are skipped: their ``out`` is not written.
    share : array, shape (n,)
        Probabilities of success.
    uniform : array, shape (n,)
        Uniform random numbers, at least 0 and below 1.
    out : array, shape (n,)
        Numbers of successes.
    """
    for i in range(start, stop):
        n, p, u = float(count[i]), float(share[i]), float(uniform[i])
        if n > MOST:
            continue
        if not n > 0.0:
            out[i] = 0.0
            continue
        count_failures = p > 0.5  # the rarer outcome is counted, so that the first probability is at least 2⁻ⁿ
        if count_failures:
            p = 1.0 - p
        if n == 1.0:  # most counts
            out[i] = (u >= 1.0 - p) != count_failures
            continue
        odds, mass, k = p / (1.0 - p), _power(1.0 - p, n), 0.0
        cumulative = mass
        while u >= cumulative and k < n:
            mass *= odds * (n - k) / (k + 1.0)
            cumulative += mass
            k += 1.0
        out[i] = n - k if count_failures else k
