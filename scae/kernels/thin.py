"""Binomial thinning of counts."""

from __future__ import annotations

from .jit import jit

MOST = 200.0  # up to here one uniform number is inverted; beyond, (1 − p)^n may leave the range of float64


@jit
def binomial_draws(start, stop, count, share, uniform, out):
    """``out`` ~ Binomial(count, share) by inversion of one uniform number each; counts above ``MOST`` are left alone."""
    for i in range(start, stop):
        n, p, u = float(count[i]), float(share[i]), float(uniform[i])
        if n > MOST:
            continue
        if not n > 0.0:
            out[i] = 0.0
            continue
        lost = p > 0.5  # count those lost instead, so that the first mass is at least 2⁻ⁿ
        if lost:
            p = 1.0 - p
        odds, mass, k = p / (1.0 - p), (1.0 - p) ** n, 0.0
        below = mass
        while u >= below and k < n:
            mass *= odds * (n - k) / (k + 1.0)
            below += mass
            k += 1.0
        out[i] = n - k if lost else k
