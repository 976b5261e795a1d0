"""From raw read-outs to costs and gradients, a row at a time, so that all intermediate values stay in the fastest cache.

Each kernel takes a range of rows, ``start`` to ``stop``, the CSR arrays ``indptr``, ``gene`` and ``value`` of the counts, and
float32 matrices of read-outs ``(cells, genes)``, which it overwrites with the derivatives of the costs. It writes the negative
log likelihood of each cell, in nats, to ``nll`` ``(cells,)``. As in :mod:`scae.kernels.losses`, all counts are first taken for
zeros, here in float32; the entries of the stored counts are then overwritten with values computed in float64.

``means`` is a link, one of :data:`scae.kernels.links.LINKS`, and an exposure ``(cells,)``, which multiplies a share or a rate.
"""

from __future__ import annotations

import math

import numpy as np

from .jit import jit
from .links import exp_less, log_mean, log_means, row_like, to_raw, total_of, write_means
from .losses import FEW, LOG_FACTORIALS, nb_many, poisson_count
from .vector import exp, greatest, log1p, log_of_double, softplus

_FACTORIALS = tuple(float(math.factorial(x)) for x in range(int(FEW) + 1))
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


@jit(contract=True)
def _nb_zeros(mu, theta, cost, slope, slope_theta):
    """Write the costs of zeros under NB(μ, θ), and their slopes in log μ and log θ."""
    for j in range(mu.size):
        odds = mu[j] / theta[j]
        weight = _ONE / (_ONE + odds)
        c, s = theta[j] * log1p(odds, weight), mu[j] * weight
        cost[j], slope[j], slope_theta[j] = c, s, c - s


@jit(contract=True)
def _nb_ones(gene, value, thetas, mu, cost, slope, slope_theta, out):
    """Write costs and slopes of some counts but for what :func:`_nb_more` adds to counts above one.

    As :func:`scae.kernels.losses.nb_few`, from those of zeros. On entry ``out[0]`` is log μ.
    """
    theta = thetas[1]
    costs, slopes, slopes_theta = out
    for k in range(gene.size):
        j, x = gene[k], np.float32(value[k])
        by_weight = x * (theta[j] / (theta[j] + mu[j]))
        costs[k] = cost[j] + x * (cost[j] / theta[j] - costs[k])
        slopes[k] = slope[j] - by_weight
        slopes_theta[k] = slope_theta[j] + by_weight - _ONE


@jit(contract=True)
def _nb_more(x, theta):
    """Return log x! − Σ log(1 + k/θ) and −θ Σ 1 / (θ + k), where k runs from 1 to x − 1."""
    ways, rise, inverse, k = _FACTORIALS[int(x)], 1.0, 0.0, 1.0  # the second sum is inverse / rise
    while k < x:
        inverse = inverse * (theta + k) + rise
        rise *= theta + k
        ways *= theta
        k += 1.0
    return log_of_double(ways / rise), -theta * (inverse / rise)


@jit
def _nb_counts(gene, value, link, raw, offset, thetas, mu, cost, slope, slope_theta):
    """Overwrite the entries of the stored counts of a row; ``thetas`` are log θ and θ."""
    log_theta, theta = thetas
    out = np.empty(gene.size, np.float32), np.empty(gene.size, np.float32), np.empty(gene.size, np.float32)
    log_means(gene, link, raw, np.float32(offset), mu, out[0])
    _nb_ones(gene, value, thetas, mu, cost, slope, slope_theta, out)
    for k in range(gene.size):
        j, x = gene[k], float(value[k])
        if x == 1.0:
            cost[j], slope[j], slope_theta[j] = out[0][k], out[1][k], out[2][k]
        elif x <= FEW and x == math.floor(x):
            if x > 0:
                more, more_theta = _nb_more(x, float(theta[j]))
                cost[j], slope[j], slope_theta[j] = out[0][k] + more, out[1][k], out[2][k] + more_theta
        elif x > 0:
            log_mu = log_mean(link, raw[j], mu[j], offset)
            cost[j], slope[j], slope_theta[j] = nb_many(x, log_mu, float(log_theta[j]))


@jit
def nb(start, stop, indptr, gene, value, nll, means, mean, dispersion):
    """Costs under NB(μ, θ).

    ``dispersion`` is log θ and θ, each ``(1, genes)`` or ``(cells, genes)``, and a matrix for the slopes in log θ.
    """
    (link, exposure), (log_theta, theta, slope_theta) = means, dispersion
    mu, cost, slope = row_like(mean), row_like(mean), row_like(mean)
    for row in range(start, stop):
        raw, slope_t, at = mean[row], slope_theta[row], slice(indptr[row], indptr[row + 1])
        log_t, t = log_theta[min(row, len(theta) - 1)], theta[min(row, len(theta) - 1)]
        offset = write_means(link, raw, exposure[row], mu)
        _nb_zeros(mu, t, cost, slope, slope_t)
        _nb_counts(gene[at], value[at], link, raw, offset, (log_t, t), mu, cost, slope, slope_t)
        nll[row] = total_of(cost)
        to_raw(link, raw, exposure[row], mu, slope)


@jit(contract=True)
def _inflate(logit, cost, without, within, inflated, own):
    """Write softplus(logit) and softplus(logit + cost), whose difference zero inflation adds to the cost of a zero.

    Also the derivatives of both, σ(logit) and the probability that a zero is an extra one.
    """
    for j in range(logit.size):
        without[j], own[j] = softplus(logit[j])
        within[j], inflated[j] = softplus(logit[j] + cost[j])


@jit
def zinb(start, stop, indptr, gene, value, nll, means, mean, zero, dispersion):
    """Costs under ZINB(μ, θ, π); ``zero`` holds the logits of π, and the rest is as in :func:`nb`."""
    (link, exposure), (log_theta, theta, slope_theta) = means, dispersion
    mu, cost, slope, without = row_like(mean), row_like(mean), row_like(mean), row_like(mean)
    within, inflated, own = row_like(mean), row_like(mean), row_like(mean)
    for row in range(start, stop):
        raw, logit, slope_t, at = mean[row], zero[row], slope_theta[row], slice(indptr[row], indptr[row + 1])
        log_t, t = log_theta[min(row, len(theta) - 1)], theta[min(row, len(theta) - 1)]
        offset = write_means(link, raw, exposure[row], mu)
        _nb_zeros(mu, t, cost, slope, slope_t)
        _inflate(logit, cost, without, within, inflated, own)
        _nb_counts(gene[at], value[at], link, raw, offset, (log_t, t), mu, cost, slope, slope_t)
        for k in range(indptr[row], indptr[row + 1]):
            if value[k] > 0:
                within[gene[k]], inflated[gene[k]] = _ZERO, _ZERO
        nll[row] = total_of(cost) + (total_of(without) - total_of(within))
        for j in range(raw.size):
            counted = _ONE - inflated[j]
            slope[j] *= counted
            slope_t[j] *= counted
            logit[j] = own[j] - inflated[j]
        to_raw(link, raw, exposure[row], mu, slope)


@jit
def poisson(start, stop, indptr, gene, value, nll, means, mean):
    """Costs under Poisson(μ)."""
    link, exposure = means
    mu, cost, slope = row_like(mean), row_like(mean), row_like(mean)
    for row in range(start, stop):
        raw = mean[row]
        offset = write_means(link, raw, exposure[row], mu)
        cost[:], slope[:] = mu, mu
        for k in range(indptr[row], indptr[row + 1]):
            j, x = gene[k], float(value[k])
            if not x > 0:
                continue
            log_mu = log_mean(link, raw[j], mu[j], offset)
            if x <= FEW and x == math.floor(x):
                cost[j] = mu[j] - x * log_mu + LOG_FACTORIALS[int(x)]
                slope[j] = mu[j] - x
            else:
                cost[j], slope[j] = poisson_count(x, log_mu)
        nll[row] = total_of(cost)
        to_raw(link, raw, exposure[row], mu, slope)


@jit(contract=True)
def _absences(logit, rest, hinge):
    """Write the two terms of softplus(logit), and overwrite the logits with its derivatives."""
    for j in range(logit.size):
        x = logit[j]
        odds = exp(-abs(x))
        inverse = _ONE / (_ONE + odds)
        rest[j], hinge[j] = log1p(odds, inverse), x if x > _ZERO else _ZERO
        logit[j] = inverse if x > _ZERO else odds * inverse


@jit
def bernoulli(start, stop, indptr, gene, value, nll, logit):
    """Costs of presence and absence, where σ(logit) is the probability of presence."""
    rest, hinge = row_like(logit), row_like(logit)
    most = 0
    for row in range(start, stop):
        most = max(most, indptr[row + 1] - indptr[row])
    there = np.empty(most, np.float32)
    for row in range(start, stop):
        raw, at = logit[row], gene[indptr[row] : indptr[row + 1]]
        for k in range(at.size):
            there[k] = raw[at[k]]
        _absences(raw, rest, hinge)
        for k in range(at.size):
            if value[indptr[row] + k] > 0:
                hinge[at[k]] = max(-there[k], _ZERO)
                raw[at[k]] -= _ONE
        nll[row] = total_of(hinge) + total_of(rest)


@jit
def multinomial(start, stop, indptr, gene, value, nll, logit):
    """Costs of the counts of a cell given their total."""
    for row in range(start, stop):
        raw, total, cost = logit[row], 0.0, 0.0
        for k in range(indptr[row], indptr[row + 1]):
            total += value[k]
        most = greatest(raw)
        for k in range(indptr[row], indptr[row + 1]):
            x = float(value[k])
            cost -= x * (raw[gene[k]] - most)
            cost += LOG_FACTORIALS[int(x)] if x <= FEW and x == math.floor(x) else math.lgamma(x + 1.0)
        over = exp_less(raw, most, raw)
        nll[row] = cost + total * math.log(over) - math.lgamma(total + 1.0)
        factor = np.float32(total) / over
        for j in range(raw.size):
            raw[j] *= factor
        for k in range(indptr[row], indptr[row + 1]):
            raw[gene[k]] -= value[k]
