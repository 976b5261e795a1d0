"""Negative log likelihoods of stored counts and their derivatives, computed in float64.

The caller first fills the dense matrices of costs (negative log likelihoods, in nats) and slopes (derivatives) as if all counts
were zero. Each kernel then overwrites the entries of the stored counts in its rows. Adding a correction instead would lose
precision: at μ = x = 10⁶, the cost of a zero is 10⁶ nats, and the cost of the count is 8 nats.

All kernels take a range of rows, ``start`` to ``stop``, and the CSR arrays ``indptr``, ``gene`` and ``value`` of the counts.
Parameters, costs and slopes are dense matrices, ``(cells, genes)``.
"""

from __future__ import annotations

import math

from .jit import jit
from .special import deviance_part, digamma_less_log, log1p_less, stirling_error

FEW = 12.0  # up to this count, the sum over 0…x−1 is faster than the asymptotic form
_LEAST = -690.0  # below this log μ, exp loses precision, and the cost of a count is computed as a straight line of slope −x
_LOG_2PI = 1.8378770664093454836
LOG_FACTORIALS = tuple(math.lgamma(x + 1.0) for x in range(int(FEW) + 1))


@jit
def nb_few(x, log_mu, theta, zero_cost, zero_slope):
    """Return the cost of a count x = 1…12 under NB(μ, θ), and its slopes in log μ and log θ.

    With s = log1p(μ/θ), the cost is that of a zero + x (s − log μ) + log x! − Σ log(1 + k/θ), where k runs from 1 to x − 1. It is
    computed from the cost of a zero and its slope in log μ, which need s anyway. Most stored counts are 1, and need no further
    logarithm; the others need one.
    """
    rise, factorial, inverse, k = 1.0, 1.0, 0.0, 1.0
    while k < x:
        rise *= 1.0 + k / theta
        inverse += 1.0 / (theta + k)
        k += 1.0
        factorial *= k
    weight = 1.0 - zero_slope / theta  # θ / (θ + μ)
    cost = zero_cost + x * (zero_cost / theta - log_mu)
    if x > 1.0:
        cost += math.log(factorial / rise)
    return cost, zero_slope - x * weight, zero_cost - zero_slope + x * weight - 1.0 - theta * inverse


@jit
def nb_many(x, log_mu, log_theta):
    """Return the cost of any count x > 0 under NB(μ, θ), and its slopes in log μ and log θ.

    The cost uses Loader's saddle-point form; see :mod:`scae.kernels.special`.
    """
    beyond, log_mu = x * (max(log_mu, _LEAST) - log_mu), max(log_mu, _LEAST)
    theta, mu = math.exp(log_theta), math.exp(log_mu)
    weight = 1.0 / (1.0 + math.exp(log_mu - log_theta))  # θ / (θ + μ)
    n, gap = theta + x, (x - mu) * weight
    expected = n / (1.0 + math.exp(log_theta - log_mu))  # n μ / (θ + μ)
    cost = (
        beyond
        + math.log(n / theta)
        - stirling_error(n)
        + stirling_error(theta)
        + stirling_error(x)
        + deviance_part(theta, n * weight, -gap)
        + deviance_part(x, expected, gap)
        + 0.5 * (_LOG_2PI + math.log(theta) + math.log(x) - math.log(n))
    )
    u = (x - mu) / (theta + mu)
    return cost, -gap, -theta * (log1p_less(u) + digamma_less_log(n) - digamma_less_log(theta))


@jit
def nb_stored(start, stop, indptr, gene, value, log_mu, log_theta, theta, cost, slope_mu, slope_theta):
    """Overwrite the costs of stored counts under NB(μ, θ), and their slopes in log μ and log θ.

    ``log_theta`` and ``theta`` have shape ``(1, genes)``, one row for all cells, or ``(cells, genes)``.
    """
    shared = log_theta.shape[0] == 1
    for row in range(start, stop):
        theta_row = 0 if shared else row
        for k in range(indptr[row], indptr[row + 1]):
            j, x = gene[k], float(value[k])
            if not x > 0:
                continue
            eta = float(log_mu[row, j])
            if x <= FEW and x == math.floor(x):
                c, sm, st = nb_few(x, eta, float(theta[theta_row, j]), float(cost[row, j]), float(slope_mu[row, j]))
            else:
                c, sm, st = nb_many(x, eta, float(log_theta[theta_row, j]))
            cost[row, j], slope_mu[row, j], slope_theta[row, j] = c, sm, st


@jit
def poisson_count(x, log_mu):
    """Return the cost of a count x > 0 under Poisson(μ), and its slope in log μ."""
    eta = max(log_mu, _LEAST)
    mu = math.exp(eta)
    if x <= FEW and x == math.floor(x):
        return mu - x * log_mu + LOG_FACTORIALS[int(x)], mu - x
    beyond = x * (eta - log_mu)
    return beyond + 0.5 * (_LOG_2PI + math.log(x)) + stirling_error(x) + deviance_part(x, mu, x - mu), mu - x


@jit
def poisson_stored(start, stop, indptr, gene, value, log_mu, cost, slope):
    """Overwrite the costs of stored counts under Poisson(μ), and their slopes in log μ."""
    for row in range(start, stop):
        for k in range(indptr[row], indptr[row + 1]):
            j, x = gene[k], float(value[k])
            if x > 0:
                cost[row, j], slope[row, j] = poisson_count(x, float(log_mu[row, j]))


@jit
def presence_stored(start, stop, indptr, gene, value, log_mu, cost, slope):
    """Overwrite the costs of detected genes, −log P(Poisson(μ) > 0), and their slopes in log μ."""
    for row in range(start, stop):
        for k in range(indptr[row], indptr[row + 1]):
            j = gene[k]
            if value[k] > 0:
                eta = max(float(log_mu[row, j]), _LEAST)
                mu = math.exp(eta)
                cost[row, j] = eta - float(log_mu[row, j]) - math.log(-math.expm1(-mu))
                slope[row, j] = -mu / math.expm1(mu) if mu < 700.0 else 0.0


@jit
def bernoulli_stored(start, stop, indptr, gene, value, logit, cost, slope):
    """Overwrite the costs of detected genes under a Bernoulli distribution, and their slopes in the logit."""
    for row in range(start, stop):
        for k in range(indptr[row], indptr[row + 1]):
            j = gene[k]
            if value[k] > 0:
                odds_against = math.exp(-abs(float(logit[row, j])))
                cost[row, j] = math.log1p(odds_against) + max(0.0, -float(logit[row, j]))
                slope[row, j] = -odds_against / (1.0 + odds_against) if logit[row, j] > 0 else -1.0 / (1.0 + odds_against)


@jit
def probability_stored(start, stop, indptr, gene, value, log_p, cost, slope):
    """Overwrite the costs of detected genes, −log p, and their slopes in log p."""
    for row in range(start, stop):
        for k in range(indptr[row], indptr[row + 1]):
            if value[k] > 0:
                cost[row, gene[k]] = -log_p[row, gene[k]]
                slope[row, gene[k]] = -1.0


@jit
def less_stored(start, stop, indptr, gene, value, out):
    """Subtract the stored values from the dense matrix ``out``."""
    for row in range(start, stop):
        for k in range(indptr[row], indptr[row + 1]):
            out[row, gene[k]] -= value[k]
