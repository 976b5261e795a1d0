"""Counts drawn from counts: downsampling to a total, binomial thinning."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import threads
from .jit import jit

_PERMUTED = 1 << 24  # counts a cell up to which scanpy's draw, a permutation of them all, is made
_SHORT = 512  # trials that one inversion covers: 0.5 to this power is far from underflow


@jit
def _downsample(start, stop, indptr, data, targets, chosen, seed, replace):
    for row in range(start, stop):
        if not chosen[row]:
            continue
        values = data[indptr[row] : indptr[row + 1]]
        upto = values.cumsum()
        np.random.seed(seed)  # noqa: NPY002  numba's own generator, each thread's apart from numpy's
        if not replace and upto[-1] > _PERMUTED:
            left, rest = targets[row], np.int64(upto[-1])
            for k in range(values.size):
                own = np.int64(values[k])
                rest -= own
                values[k] = np.random.hypergeometric(own, rest, left) if own and left else 0  # noqa: NPY002
                left -= np.int64(values[k])
            continue
        drawn = np.random.choice(np.int64(upto[-1]), targets[row], replace)  # noqa: NPY002
        values[:] = 0
        for count in drawn:
            values[np.searchsorted(upto, count, side="right")] += 1


def downsample(
    indptr: NDArray[np.int64],
    data: NDArray[np.float64],
    targets: NDArray[np.int64],
    chosen: NDArray[np.bool_],
    *,
    seed: int,
    replace: bool,
) -> None:
    """Draw ``targets`` of the counts of each chosen row, in place; every row starts from the same seed, as in scanpy."""
    threads.run(_downsample, targets.size, indptr, data, targets, chosen, seed, replace, work=data.size)


@jit
def _mixed(state):
    """One step of SplitMix64: a 64-bit number whose bits all depend on all bits of the state."""
    z = state + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@jit
def _binomial(n, p, state):
    """A draw of Binomial(n, p) for p ≤ 0.5, by inversion in runs of bounded length."""
    drawn, odds = 0, p / (1 - p)
    while n > 0:
        trials = min(n, _SHORT)
        state = _mixed(state)
        u = np.float64(state >> np.uint64(11)) * 2.0**-53
        k, weight = 0, (1 - p) ** trials
        while u >= weight and k < trials:
            u -= weight
            weight *= odds * (trials - k) / (k + 1)
            k += 1
        drawn += k
        n -= trials
    return drawn


@jit
def _thin(start, stop, first, indptr, indices, data, fraction, seed, out):
    p = min(fraction, 1 - fraction)
    for row in range(start, stop):
        key = _mixed(_mixed(np.uint64(seed)) + np.uint64(first + row))
        for k in range(indptr[row], indptr[row + 1]):
            n = np.int64(data[k])
            drawn = _binomial(n, p, _mixed(key + np.uint64(indices[k])))
            out[k] = drawn if fraction <= 0.5 else n - drawn


def thin(
    indptr: NDArray[np.int64], indices: NDArray, data: NDArray[np.float64], fraction: float, seed: int, first: int = 0
) -> NDArray[np.float64]:
    """Binomial draws of the stored counts; each depends on seed, cell, gene and count alone, whatever the order or blocks."""
    out = np.empty(data.size)
    threads.run(_thin, indptr.size - 1, first, indptr, indices.astype(np.int64), data, fraction, seed, out, work=data.size)
    return out
