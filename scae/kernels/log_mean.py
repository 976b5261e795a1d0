"""E[log(1 + s X)] of counts, to about 1e-7, with bounded work an entry.

A negative binomial with a light tail is summed, log(1 + s k) read from a table. For others the sum would be long, and
log(1 + y) = ∫ (1 − e^(−ty)) e^(−t)/t dt (Frullani) turns it into an integral over the probability generating function, which is
elementary. In u = log t the integrand is analytic in a strip of half-width π/2, so that the trapezoid rule with step h errs by
e^(−π²/h): 3e-9 at h = ½ (Trefethen & Weideman 2014, doi:10.1137/130932132). Its tail towards t = 0, where the integrand is
μ s t, is a geometric series.

A negative θ = −n makes the same formulas those of Binomial(n, μ/n).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .jit import jit

TERMS = 256  # length of the table, and most terms that are summed before the integral is taken instead
STEP = 0.5
_SMALL = 1e-4  # how small t s μ (1 + 1/θ) must be for the integrand to be linear in t


def table(scale: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """log(1 + s k) ``(TERMS,)``; and of the nodes t, descending, 1 − e^(−st) and the weight h e^(−t)."""
    t = np.exp(np.arange(math.log(40.0), math.log(_SMALL) - math.log(max(scale, 1.0)) - 35.0, -STEP))
    return np.log1p(np.arange(TERMS) * scale), -np.expm1(-scale * t), STEP * np.exp(-t)


@jit
def _summed(mu, theta, q, logs):
    """The sum over counts, or −1 if it is longer than the table; q = μ / (μ + θ)."""
    p, total, k = math.exp(-theta * math.log1p(mu / theta)), 0.0, 0
    while k + 1 < logs.size:
        p *= (k + theta) * q / (k + 1)
        k += 1
        term = p * logs[k]
        total += term
        ratio = max((k + theta) * q / (k + 1), q)  # no later term falls more slowly
        if not p > 0.0 or term <= 1e-9 * (1.0 - ratio) * total:
            return total
    return -1.0


@jit
def _integrated(mu, theta, scale, decay, weight):
    """The integral, from large t down to where the integrand is linear."""
    enough = _SMALL / max(1.0, scale, scale * mu * (1.0 + 1.0 / abs(theta)))
    total = 0.0
    for i in range(decay.size):
        total -= weight[i] * math.expm1(-theta * math.log1p(mu / theta * decay[i]))
        if decay[i] <= scale * enough:
            break
    return total + STEP / math.expm1(STEP) * mu * decay[i]


@jit
def log1p_means(start, stop, mu, theta, scale, logs, decay, weight, out):
    """``out`` = E[log(1 + s X)] for X ~ NB(μ, θ); ``theta`` has one row for all cells, or one a cell."""
    shared = theta.shape[0] == 1
    for row in range(start, stop):
        for j in range(mu.shape[1]):
            m, t = float(mu[row, j]), float(theta[0 if shared else row, j])
            if not m > 0.0:
                out[row, j] = m  # zero, or NaN
                continue
            q, total = m / (m + t), -1.0
            if m <= 30.0 and abs(q) <= 0.75:
                total = _summed(m, t, q, logs)
            if total < 0.0:
                total = _integrated(m, t, scale, decay, weight)
            out[row, j] = total


@jit
def _log_beta_binomial(k, n, a, b):
    return (
        math.lgamma(n + 1.0) - math.lgamma(k + 1.0) - math.lgamma(n - k + 1.0)
        + math.lgamma(k + a) + math.lgamma(n - k + b) - math.lgamma(n + a + b)
        + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    )  # fmt: skip


@jit
def beta_binomial_log1p_means(start, stop, share, precision, logs, out):
    """``out`` = E[log(1 + s X)] for X ~ BetaBinomial(n, α p, α (1 − p)); ``logs`` is log(1 + s k), k = 0…n.

    Summed both ways from the mean, until what may be left is negligible.
    """
    n = logs.size - 1.0
    for row in range(start, stop):
        for j in range(share.shape[1]):
            p, alpha = float(share[row, j]), float(precision[row])
            a, b = alpha * p, alpha * (1.0 - p)
            if not (a > 0.0 and b > 0.0):
                out[row, j] = logs[-1] * p  # never, or always
                continue
            middle = math.floor(n * p)
            first = math.exp(_log_beta_binomial(middle, n, a, b))
            total, mass, k = first * logs[int(middle)], first, middle
            while k < n:
                ratio = (n - k) * (k + a) / ((k + 1.0) * (n - k - 1.0 + b))
                mass *= ratio
                k += 1.0
                term = mass * logs[int(k)]
                total += term
                if ratio < 1.0 and term <= 1e-9 * (1.0 - ratio) * total:
                    break
            mass, k = first, middle
            while k > 0.0:
                ratio = k * (n - k + b) / ((n - k + 1.0) * (k - 1.0 + a))
                mass *= ratio
                k -= 1.0
                term = mass * logs[int(k)]
                total += term
                if ratio < 1.0 and term <= 1e-9 * (1.0 - ratio) * total:
                    break
            out[row, j] = total
