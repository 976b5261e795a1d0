"""The mean of log(1 + s X) of a random count X, with an error of about 1e-7 and a bounded number of operations per entry.

For a negative binomial with a light tail, the sum over the counts is computed directly, with log(1 + s k) from a table. For
other negative binomials this sum would be too long. They use Frullani's integral, log(1 + y) = ∫ (1 − e^(−ty)) e^(−t)/t dt,
which turns the mean into an integral over the probability generating function. In u = log t, the integrand is analytic in a
strip of half-width π/2. The trapezoidal rule with step h therefore has an error of e^(−π²/h), which is 3e-9 for h = ½. For small
t the integrand is μ s t, so that the rest of the sum is a geometric series.

With a negative θ = −n, the same formulas hold for Binomial(n, μ/n).

References
----------
Trefethen and Weideman (2014), The exponentially convergent trapezoidal rule, SIAM Review 56:385, doi:10.1137/130932132.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .jit import jit

TERMS = 256  # length of the table: largest number of terms of a sum
STEP = 0.5  # step of the trapezoidal rule in log t
_SMALL = 1e-4  # below this value of t s μ (1 + 1/θ), the integrand is linear in t


def table(scale: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Compute the tables that :func:`log1p_means` needs.

    Parameters
    ----------
    scale : float
        Factor s of the counts.

    Returns
    -------
    array, shape (TERMS,)
        log(1 + s k) for k = 0, 1, …
    array, shape (nodes,)
        1 − e^(−st) at the nodes t of the integral, which descend.
    array, shape (nodes,)
        Weights h e^(−t) of the nodes.
    """
    t = np.exp(np.arange(math.log(40.0), math.log(_SMALL) - math.log(max(scale, 1.0)) - 35.0, -STEP))
    return np.log1p(np.arange(TERMS) * scale), -np.expm1(-scale * t), STEP * np.exp(-t)


@jit
def _summed(mu, theta, q, logs):
    """Return the sum over the counts, or −1 if the table is too short for it; q = μ / (μ + θ)."""
    p, total, k = math.exp(-theta * math.log1p(mu / theta)), 0.0, 0
    while k + 1 < logs.size:
        p *= (k + theta) * q / (k + 1)
        k += 1
        term = p * logs[k]
        total += term
        ratio = max((k + theta) * q / (k + 1), q)  # upper bound of the ratio of successive later terms
        if not p > 0.0 or term <= 1e-9 * (1.0 - ratio) * total:
            return total
    return -1.0


@jit
def _integrated(mu, theta, scale, decay, weight):
    """Return the integral; the numerical part runs from large t to where the integrand is linear."""
    linear_below = _SMALL / max(1.0, scale, scale * mu * (1.0 + 1.0 / abs(theta)))
    total = 0.0
    for i in range(decay.size):
        total -= weight[i] * math.expm1(-theta * math.log1p(mu / theta * decay[i]))
        if decay[i] <= scale * linear_below:
            break
    return total + STEP / math.expm1(STEP) * mu * decay[i]


@jit
def log1p_means(start, stop, mu, theta, scale, logs, decay, weight, out):
    """Compute the mean of log(1 + s X) for X ~ NB(μ, θ).

    Parameters
    ----------
    start, stop : int
        Range of rows (cells).
    mu : array, shape (cells, genes)
        Mean of X.
    theta : array, shape (1, genes) or (cells, genes)
        Inverse dispersion: one row for all cells, or one row per cell.
    scale : float
        Factor s.
    logs, decay, weight : arrays
        The tables of :func:`table`.
    out : array, shape (cells, genes)
        Result.
    """
    shared = theta.shape[0] == 1
    for row in range(start, stop):
        for j in range(mu.shape[1]):
            m, t = float(mu[row, j]), float(theta[0 if shared else row, j])
            if not m > 0.0:
                out[row, j] = m  # 0 or NaN
                continue
            q, total = m / (m + t), -1.0
            if m <= 30.0 and abs(q) <= 0.75:
                total = _summed(m, t, q, logs)
            if total < 0.0:
                total = _integrated(m, t, scale, decay, weight)
            out[row, j] = total


@jit
def _log_beta_binomial(k, n, a, b):
    """Return the log probability of k under BetaBinomial(n, a, b)."""
    return (
        math.lgamma(n + 1.0) - math.lgamma(k + 1.0) - math.lgamma(n - k + 1.0)
        + math.lgamma(k + a) + math.lgamma(n - k + b) - math.lgamma(n + a + b)
        + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    )  # fmt: skip


@jit
def beta_binomial_log1p_means(start, stop, share, precision, logs, out):
    """Compute the mean of log(1 + s X) for X ~ BetaBinomial(n, α p, α (1 − p)).

    The sum over the counts runs from the mean upwards and downwards until the remaining terms are negligible.

    Parameters
    ----------
    start, stop : int
        Range of rows (cells).
    share : array, shape (cells, genes)
        Mean share p.
    precision : array, shape (cells,)
        Precision α of each cell.
    logs : array, shape (n + 1,)
        log(1 + s k) for k = 0…n.
    out : array, shape (cells, genes)
        Result.
    """
    n = logs.size - 1.0
    for row in range(start, stop):
        for j in range(share.shape[1]):
            p, alpha = float(share[row, j]), float(precision[row])
            a, b = alpha * p, alpha * (1.0 - p)
            if not (a > 0.0 and b > 0.0):
                out[row, j] = logs[-1] * p  # p is 0 or 1: X is always 0 or n
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
