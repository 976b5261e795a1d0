"""Costs of stored counts and their derivatives, in float64 whatever the arrays hold; zeros are the caller's.

Each kernel walks the stored entries of its rows and overwrites the entry of the dense ``cost`` and slope matrices that the
caller has filled as if every count were zero. Overwriting, not correcting, is what keeps the digits: at μ = x = 10⁶ the
cost of a zero is 10⁶ nats and that of the count eight.
"""

from __future__ import annotations

import math

from .jit import jit
from .special import deviance_part, digamma_less_log, log1p_less, stirling_error

_FEW = 12.0  # up to here sums over 0…x−1 beat the asymptotic form
_LEAST = -690.0  # log μ at which exp still has all its digits; below, the cost of a count is a straight line of slope −x
_LOG_2PI = 1.8378770664093454836


@jit
def nb_few(x, log_mu, theta, zero_cost, zero_slope):
    """Cost of a count x = 1…12 under NB(μ, θ) and its slopes in log μ and log θ, from those of a zero.

    With s = log1p(μ/θ) the cost is that of a zero + x (s − log μ) + log x! − Σ log(1 + k/θ), k = 1…x−1: nothing
    transcendental for a single molecule, which most stored counts are, and one logarithm for others.
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
    """Cost of any count x > 0 under NB(μ, θ) in Loader's saddle-point form, and its slopes in log μ and log θ."""
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
    """Overwrite the entries of stored counts; ``log_theta`` and ``theta`` have one row for all cells, or one a cell."""
    shared = log_theta.shape[0] == 1
    for row in range(start, stop):
        theta_row = 0 if shared else row
        for k in range(indptr[row], indptr[row + 1]):
            j, x = gene[k], float(value[k])
            if not x > 0:
                continue
            eta = float(log_mu[row, j])
            if x <= _FEW and x == math.floor(x):
                c, sm, st = nb_few(x, eta, float(theta[theta_row, j]), float(cost[row, j]), float(slope_mu[row, j]))
            else:
                c, sm, st = nb_many(x, eta, float(log_theta[theta_row, j]))
            cost[row, j], slope_mu[row, j], slope_theta[row, j] = c, sm, st


@jit
def poisson_stored(start, stop, indptr, gene, value, log_mu, cost, slope):
    """Overwrite the entries of stored counts; the slope is in log μ."""
    for row in range(start, stop):
        for k in range(indptr[row], indptr[row + 1]):
            j, x = gene[k], float(value[k])
            if x > 0:
                eta = max(float(log_mu[row, j]), _LEAST)
                mu, beyond = math.exp(eta), x * (eta - float(log_mu[row, j]))
                cost[row, j] = beyond + 0.5 * (_LOG_2PI + math.log(x)) + stirling_error(x) + deviance_part(x, mu, x - mu)
                slope[row, j] = mu - x


@jit
def presence_stored(start, stop, indptr, gene, value, log_mu, cost, slope):
    """Overwrite the entries of present genes with −log P(Poisson(μ) > 0); the slope is in log μ."""
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
    """Overwrite the entries of present genes; the slope is in the logit."""
    for row in range(start, stop):
        for k in range(indptr[row], indptr[row + 1]):
            j = gene[k]
            if value[k] > 0:
                odds_against = math.exp(-abs(float(logit[row, j])))
                cost[row, j] = math.log1p(odds_against) + max(0.0, -float(logit[row, j]))
                slope[row, j] = -odds_against / (1.0 + odds_against) if logit[row, j] > 0 else -1.0 / (1.0 + odds_against)


@jit
def probability_stored(start, stop, indptr, gene, value, log_p, cost, slope):
    """Overwrite the entries of present genes; the slope is in log p."""
    for row in range(start, stop):
        for k in range(indptr[row], indptr[row + 1]):
            if value[k] > 0:
                cost[row, gene[k]] = -log_p[row, gene[k]]
                slope[row, gene[k]] = -1.0


@jit
def less_stored(start, stop, indptr, gene, value, out):
    """Subtract stored values from a dense matrix."""
    for row in range(start, stop):
        for k in range(indptr[row], indptr[row + 1]):
            out[row, gene[k]] -= value[k]
