"""From raw read-outs to costs and gradients, a row at a time, so that all intermediate values stay in the fastest cache.

Each kernel takes a range of rows, ``start`` to ``stop``, the CSR arrays ``indptr``, ``gene`` and ``value`` of the counts, and
float32 matrices of read-outs ``(cells, genes)``, which it overwrites with the derivatives of the costs. It writes the negative
log likelihood of each cell, in nats, to ``nll`` ``(cells,)``. As in :mod:`scae.kernels.losses`, all counts are first taken for
zeros, here in float32; the entries of the stored counts are then overwritten with values computed in float64.

``means`` is a link, one of :data:`LINKS`, and an exposure ``(cells,)``, by which a share or a rate is multiplied.
"""

from __future__ import annotations

import math

import numpy as np

from .jit import jit
from .losses import FEW, LOG_FACTORIALS, nb_many, poisson_count
from .vector import exp, greatest, log1p, log_of_double, softplus

LINKS = {"softmax": 0, "exp": 1, "softplus": 2}
_EXP, _SOFTPLUS = LINKS["exp"], LINKS["softplus"]
_LOW, _HIGH = np.float32(-30.0), np.float32(15.0)  # bounds of a read-out under the exp link
_FACTORIALS = tuple(float(math.factorial(x)) for x in range(int(FEW) + 1))
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


@jit
def _row(like):
    """A new row of a matrix; rows of one new matrix would keep the compiler from using vector instructions."""
    return np.empty(like.shape[1], np.float32)


@jit(reorder=True)
def _total(x):
    total = _ZERO
    for j in range(x.size):
        total += x[j]
    return total


@jit(reorder=True, contract=True)
def _exp_less(raw, most, out):
    """Write e^(raw − most), and return its sum."""
    total = _ZERO
    for j in range(raw.size):
        e = exp(raw[j] - most)
        out[j] = e
        total += e
    return total


@jit(contract=True)
def _means(link, raw, exposure, mu):
    """Write the means of a row, and return what is to be added to a read-out, or to its log softplus, for log μ."""
    log_exposure = math.log(exposure)
    if link == _EXP:
        offset = np.float32(log_exposure)
        for j in range(raw.size):
            x = _LOW if raw[j] < _LOW else raw[j]
            mu[j] = exp((_HIGH if x > _HIGH else x) + offset)
    elif link == _SOFTPLUS:
        for j in range(raw.size):
            mu[j] = softplus(raw[j])[0] * exposure
    else:
        most = greatest(raw)
        total = _exp_less(raw, most, mu)
        factor = exposure / total
        for j in range(raw.size):
            mu[j] *= factor
        return log_exposure - most - math.log(total)
    return log_exposure


@jit
def _log_mean(link, raw, mu, offset):
    """Return log μ of one entry in float64."""
    x = float(raw)
    if link == _EXP:
        x = min(max(x, -30.0), 15.0)
    elif link == _SOFTPLUS and x >= -15.0:
        return math.log(mu)
    return x + offset


@jit(reorder=True, contract=True)
def _to_raw(link, raw, exposure, mu, slope):
    """Overwrite the read-outs of a row with the slopes in them, from the slopes in log μ."""
    if link == _EXP:
        for j in range(raw.size):
            raw[j] = slope[j] if _LOW <= raw[j] <= _HIGH else _ZERO
    elif link == _SOFTPLUS:
        for j in range(raw.size):
            value, derivative = softplus(raw[j])
            raw[j] = slope[j] * (derivative / value)
    else:
        by_share = _total(slope) / exposure
        for j in range(raw.size):
            raw[j] = slope[j] - mu[j] * by_share


@jit(contract=True)
def _nb_zeros(mu, theta, cost, slope, slope_theta):
    """Write the costs of zeros under NB(μ, θ), and their slopes in log μ and log θ."""
    for j in range(mu.size):
        odds = mu[j] / theta[j]
        weight = _ONE / (_ONE + odds)
        c, s = theta[j] * log1p(odds, weight), mu[j] * weight
        cost[j], slope[j], slope_theta[j] = c, s, c - s


@jit(contract=True)
def _nb_few(x, log_mu, mu, theta, cost, slope, slope_theta):
    """Return what :func:`scae.kernels.losses.nb_few` does, to the accuracy of float32, from a zero's cost and slopes."""
    weight = theta / (theta + mu)
    cost += x * (cost / theta - log_mu)
    slope, slope_theta = slope - x * weight, slope_theta + x * weight - 1.0
    if x > 1.0:
        ways, rise, inverse, k = _FACTORIALS[int(x)], 1.0, 0.0, 1.0  # the sum of 1 / (θ + k) is inverse / rise
        while k < x:
            inverse = inverse * (theta + k) + rise
            rise *= theta + k
            k += 1.0
            ways *= theta
        cost += log_of_double(ways / rise)
        slope_theta -= theta * (inverse / rise)
    return cost, slope, slope_theta


@jit
def _nb_counts(gene, value, link, raw, offset, thetas, mu, cost, slope, slope_theta):
    """Overwrite the entries of the stored counts of a row; ``thetas`` are log θ and θ."""
    log_theta, theta = thetas
    for k in range(gene.size):
        j, x = gene[k], float(value[k])
        if not x > 0:
            continue
        log_mu, t = _log_mean(link, raw[j], mu[j], offset), float(theta[j])
        if x <= FEW and x == math.floor(x):
            c, sm, st = _nb_few(x, log_mu, float(mu[j]), t, float(cost[j]), float(slope[j]), float(slope_theta[j]))
        else:
            c, sm, st = nb_many(x, log_mu, float(log_theta[j]))
        cost[j], slope[j], slope_theta[j] = c, sm, st


@jit
def nb(start, stop, indptr, gene, value, nll, means, mean, dispersion):
    """Costs under NB(μ, θ).

    ``dispersion`` is log θ and θ, each ``(1, genes)`` or ``(cells, genes)``, and a matrix for the slopes in log θ.
    """
    (link, exposure), (log_theta, theta, slope_theta) = means, dispersion
    mu, cost, slope = _row(mean), _row(mean), _row(mean)
    for row in range(start, stop):
        raw, slope_t, at = mean[row], slope_theta[row], slice(indptr[row], indptr[row + 1])
        log_t, t = log_theta[min(row, len(theta) - 1)], theta[min(row, len(theta) - 1)]
        offset = _means(link, raw, exposure[row], mu)
        _nb_zeros(mu, t, cost, slope, slope_t)
        _nb_counts(gene[at], value[at], link, raw, offset, (log_t, t), mu, cost, slope, slope_t)
        nll[row] = _total(cost)
        _to_raw(link, raw, exposure[row], mu, slope)


@jit(contract=True)
def _inflate(logit, cost, more, inflated, own):
    """Write what zero inflation adds to the cost of a zero, the probability that a zero is an extra one, and σ(logit)."""
    for j in range(logit.size):
        without, sigma = softplus(logit[j])
        within, posterior = softplus(logit[j] + cost[j])
        more[j], inflated[j], own[j] = without - within, posterior, sigma


@jit
def zinb(start, stop, indptr, gene, value, nll, means, mean, zero, dispersion):
    """Costs under ZINB(μ, θ, π); ``zero`` holds the logits of π, and the rest is as in :func:`nb`."""
    (link, exposure), (log_theta, theta, slope_theta) = means, dispersion
    mu, cost, slope = _row(mean), _row(mean), _row(mean)
    more, inflated, own = _row(mean), _row(mean), _row(mean)
    for row in range(start, stop):
        raw, logit, slope_t, at = mean[row], zero[row], slope_theta[row], slice(indptr[row], indptr[row + 1])
        log_t, t = log_theta[min(row, len(theta) - 1)], theta[min(row, len(theta) - 1)]
        offset = _means(link, raw, exposure[row], mu)
        _nb_zeros(mu, t, cost, slope, slope_t)
        _inflate(logit, cost, more, inflated, own)
        _nb_counts(gene[at], value[at], link, raw, offset, (log_t, t), mu, cost, slope, slope_t)
        for k in range(indptr[row], indptr[row + 1]):
            if value[k] > 0:
                more[gene[k]], inflated[gene[k]] = softplus(logit[gene[k]])[0], _ZERO
        nll[row] = _total(cost) + _total(more)
        for j in range(raw.size):
            counted = _ONE - inflated[j]
            slope[j] *= counted
            slope_t[j] *= counted
            logit[j] = own[j] - inflated[j]
        _to_raw(link, raw, exposure[row], mu, slope)


@jit
def poisson(start, stop, indptr, gene, value, nll, means, mean):
    """Costs under Poisson(μ)."""
    link, exposure = means
    mu, cost, slope = _row(mean), _row(mean), _row(mean)
    for row in range(start, stop):
        raw = mean[row]
        offset = _means(link, raw, exposure[row], mu)
        cost[:], slope[:] = mu, mu
        for k in range(indptr[row], indptr[row + 1]):
            j, x = gene[k], float(value[k])
            if not x > 0:
                continue
            log_mu = _log_mean(link, raw[j], mu[j], offset)
            if x <= FEW and x == math.floor(x):
                cost[j] = mu[j] - x * log_mu + LOG_FACTORIALS[int(x)]
                slope[j] = mu[j] - x
            else:
                cost[j], slope[j] = poisson_count(x, log_mu)
        nll[row] = _total(cost)
        _to_raw(link, raw, exposure[row], mu, slope)


@jit
def bernoulli(start, stop, indptr, gene, value, nll, logit):
    """Costs of presence and absence, where σ(logit) is the probability of presence."""
    cost, slope = _row(logit), _row(logit)
    for row in range(start, stop):
        raw = logit[row]
        for j in range(raw.size):
            cost[j], slope[j] = softplus(raw[j])
        for k in range(indptr[row], indptr[row + 1]):
            if value[k] > 0:
                cost[gene[k]], absent = softplus(-raw[gene[k]])
                slope[gene[k]] = -absent
        nll[row] = _total(cost)
        raw[:] = slope


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
        over = _exp_less(raw, most, raw)
        nll[row] = cost + total * math.log(over) - math.lgamma(total + 1.0)
        factor = np.float32(total) / over
        for j in range(raw.size):
            raw[j] *= factor
        for k in range(indptr[row], indptr[row + 1]):
            raw[gene[k]] -= value[k]
