"""Links from a row of raw read-outs to expected counts, and back for slopes, in float32; and helpers for rows."""

from __future__ import annotations

import math

import numpy as np

from .jit import jit
from .vector import exp, greatest, softplus

LINKS = {"softmax": 0, "exp": 1, "softplus": 2}
_EXP, _SOFTPLUS = LINKS["exp"], LINKS["softplus"]
_LOW, _HIGH = np.float32(-30.0), np.float32(15.0)  # bounds of a read-out under the exp link
_ZERO = np.float32(0.0)


@jit
def row_like(like):
    """A new row of a matrix; rows of one new matrix would keep the compiler from using vector instructions."""
    return np.empty(like.shape[1], np.float32)


@jit(reorder=True)
def total_of(x):
    """Return the sum of a float32 vector."""
    total = _ZERO
    for j in range(x.size):
        total += x[j]
    return total


@jit(reorder=True, contract=True)
def exp_less(raw, most, out):
    """Write e^(raw − most), and return its sum."""
    total = _ZERO
    for j in range(raw.size):
        e = exp(raw[j] - most)
        out[j] = e
        total += e
    return total


@jit(contract=True)
def write_means(link, raw, exposure, mu):
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
        total = exp_less(raw, most, mu)
        factor = exposure / total
        for j in range(raw.size):
            mu[j] *= factor
        return log_exposure - most - math.log(total)
    return log_exposure


@jit
def log_mean(link, raw, mu, offset):
    """Return log μ of one entry in float64."""
    x = float(raw)
    if link == _EXP:
        x = min(max(x, -30.0), 15.0)
    elif link == _SOFTPLUS and x >= -15.0:
        return math.log(mu)
    return x + offset


@jit(reorder=True, contract=True)
def to_raw(link, raw, exposure, mu, slope):
    """Overwrite the read-outs of a row with the slopes in them, from the slopes in log μ."""
    if link == _EXP:
        for j in range(raw.size):
            raw[j] = slope[j] if _LOW <= raw[j] <= _HIGH else _ZERO
    elif link == _SOFTPLUS:
        for j in range(raw.size):
            value, derivative = softplus(raw[j])
            raw[j] = slope[j] * (derivative / value)
    else:
        by_share = total_of(slope) / exposure
        for j in range(raw.size):
            raw[j] = slope[j] - mu[j] * by_share


@jit
def log_means(gene, link, raw, offset, mu, out):
    """Write log μ of some genes."""
    if link == _EXP:
        for k in range(gene.size):
            x = _LOW if raw[gene[k]] < _LOW else raw[gene[k]]
            out[k] = (_HIGH if x > _HIGH else x) + offset
    elif link == _SOFTPLUS:
        for k in range(gene.size):
            out[k] = log_mean(link, raw[gene[k]], mu[gene[k]], offset)
    else:
        for k in range(gene.size):
            out[k] = raw[gene[k]] + offset
