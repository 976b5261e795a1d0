"""Random subsets of counts: downsampling to a given total, and binomial thinning."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .. import threads
from .jit import jit

_PERMUTED = 1 << 24  # largest count per cell for which all counts are permuted, as in scanpy
_GROUP = 512  # rows drawn from one stream; few groups, because two of them could get the same 32-bit seed
_MOST_TRIALS = 512  # trials per inversion: 0.5 to this power does not underflow


@jit
def _mixed(state):
    """Return the output of SplitMix64 for a 64-bit state; each bit depends on all bits of the state.

    Steele, Lea and Flood (2014), Fast splittable pseudorandom number generators, OOPSLA 2014, doi:10.1145/2660193.2660195.
    """
    z = state + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@jit
def _draw(values, target, replace):
    """Draw ``target`` of the counts of one row, in place."""
    cumulative = values.cumsum()
    if not replace and cumulative[-1] > _PERMUTED:
        left, others = target, np.int64(cumulative[-1])  # counts still to draw; counts of later genes
        for k in range(values.size):
            count = np.int64(values[k])
            others -= count
            values[k] = np.random.hypergeometric(count, others, left) if count and left else 0  # noqa: NPY002
            left -= np.int64(values[k])
        return
    drawn = np.random.choice(np.int64(cumulative[-1]), target, replace)  # noqa: NPY002
    values[:] = 0
    for molecule in drawn:
        values[np.searchsorted(cumulative, molecule, side="right")] += 1


@jit
def _downsample(start, stop, indptr, data, targets, chosen, seed, replace):
    """Downsample the rows of a range of groups; the generator is seeded anew for each group."""
    for group in range(start, stop):
        mixed = _mixed(_mixed(np.uint64(seed)) + np.uint64(group)) & np.uint64(0xFFFFFFFF)
        np.random.seed(seed if group == 0 else np.uint32(mixed))  # noqa: NPY002  the generator of numba, one per thread
        for row in range(group * _GROUP, min((group + 1) * _GROUP, targets.size)):
            if chosen[row]:
                _draw(data[indptr[row] : indptr[row + 1]], targets[row], replace)


def downsample(
    indptr: NDArray[np.int64],
    data: NDArray[np.float64],
    targets: NDArray[np.int64],
    chosen: NDArray[np.bool_],
    *,
    seed: int,
    replace: bool,
) -> None:
    """Downsample rows to a given total, in place.

    Parameters
    ----------
    indptr : int64 array, shape (rows + 1,)
        Row pointers.
    data : float64 array, shape (nnz,)
        Counts; changed in place.
    targets : int64 array, shape (rows,)
        Total of each row afterwards.
    chosen : bool array, shape (rows,)
        Rows to change.
    seed : int
        Seed, below 2³². The rows are drawn from one stream per group of rows, whatever the number of threads; the first group
        starts from the seed itself, as scanpy does.
    replace : bool
        Sample with replacement.
    """
    groups = -(-targets.size // _GROUP)
    threads.run(_downsample, groups, indptr, data, targets, chosen, seed, replace, work=data.size)


@jit
def _binomial(n, p, state):
    """Draw from Binomial(n, p), p ≤ 0.5, as a sum of draws by inversion, each with a bounded number of trials."""
    drawn, odds = 0, p / (1 - p)
    while n > 0:
        trials = min(n, _MOST_TRIALS)
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
    """Thin a range of rows; the draw depends on the seed, the number of the row, the column and the count."""
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
    """Thin the stored counts: draw from Binomial(count, fraction) for each.

    A draw depends only on the seed, the cell, the gene and the count, not on the order of processing or the division into blocks.

    Parameters
    ----------
    indptr : int64 array, shape (rows + 1,)
        Row pointers.
    indices : int array, shape (nnz,)
        Gene of each count.
    data : float64 array, shape (nnz,)
        Counts, whole numbers.
    fraction : float
        Probability with which each molecule is kept.
    seed : int
        Seed, at least 0.
    first : int
        Number of the first row within the whole matrix, if the arrays are a block of it.

    Returns
    -------
    float64 array, shape (nnz,)
        The thinned counts.
    """
    out = np.empty(data.size)
    threads.run(_thin, indptr.size - 1, first, indptr, indices.astype(np.int64), data, fraction, seed, out, work=data.size)
    return out
