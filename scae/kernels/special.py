"""Special functions, computed without the loss of precision by cancellation that the textbook formulas have.

References
----------
Loader (2000), Fast and accurate computation of binomial probabilities. It introduces the saddle-point form of Poisson and
binomial probabilities, with Stirling's error (:func:`stirling_error`) and the deviance part (:func:`deviance_part`).
"""

from __future__ import annotations

import math

from .jit import jit

_HALF_LOG_2PI = 0.9189385332046727418


@jit
def stirling_error(n):
    """Return the error of Stirling's formula, log Γ(n+1) − [(n+½) log n − n + ½ log 2π], for n > 0."""
    if n <= 15.0:
        return math.lgamma(n + 1.0) - (n + 0.5) * math.log(n) + n - _HALF_LOG_2PI
    i = 1.0 / n
    s = i * i
    return i * (1 / 12 - s * (1 / 360 - s * (1 / 1260 - s * (1 / 1680 - s * (1 / 1188 - s * 691 / 360360)))))


@jit
def deviance_part(x, m, gap):
    """Return the deviance part, x log(x/m) + m − x, for x, m > 0.

    ``gap`` is x − m; the caller computes it without the rounding error of a difference.
    """
    if abs(gap) < 0.1 * (x + m) < math.inf:  # with infinite terms, the series would not end
        v = gap / (x + m)
        total = gap * v
        term, v2, j = 2.0 * x * v, v * v, 1.0
        while True:
            term *= v2
            more = total + term / (2.0 * j + 1.0)
            if more == total:
                return total
            total = more
            j += 1.0
    return x * math.log(x / m) - gap


@jit
def log1p_less(u):
    """Return log(1+u) − u for u > −1."""
    if not abs(u) <= 0.1:  # also true for NaN, with which the series would not end
        return math.log1p(u) - u
    r = u / (2.0 + u)  # log1p(u) = 2 artanh(r), and 2r − u = −u r
    r2, power, total, j = r * r, r * r * r, 0.0, 3.0
    while True:
        more = total + power / j
        if more == total:
            return 2.0 * total - u * r
        total = more
        power *= r2
        j += 2.0


@jit
def digamma_less_log(a):
    """Return ψ(a) − log a for a > 0, where ψ is the digamma function."""
    shift, b = 0.0, a
    while b < 10.0:
        shift -= 1.0 / b
        b += 1.0
    s = 1.0 / (b * b)
    tail = s * (1 / 12 - s * (1 / 120 - s * (1 / 252 - s * (1 / 240 - s * (1 / 132 - s * (691 / 32760 - s / 12))))))
    return shift - 0.5 / b - tail + (math.log(b / a) if b != a else 0.0)
