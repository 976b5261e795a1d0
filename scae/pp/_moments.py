"""Means and variances of genes, over all cells or per batch."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels import sums
from ..kernels.rows import Prepare, Rows
from ._matrix import each_block

_ROUNDING = 1e-12  # variances below this multiple of the squared mean are rounding noise


class Ranked(NamedTuple):
    """What highly variable genes are sought in."""

    x: Any  # cells × genes
    names: Any  # of the genes
    labels: Any  # the batch of each cell, or None

    @property
    def groups(self) -> Groups:
        """The batch of each cell as a number."""
        return Groups.of(self.labels, self.x.shape[0])


class Groups(NamedTuple):
    """The batch of each cell."""

    codes: NDArray[np.int64]  # (cells,), number of the batch; −1 for a cell that is left out
    sizes: NDArray[np.int64]  # (batches,), number of cells

    @classmethod
    def of(cls, labels: Any, n_cells: int) -> Groups:
        """Number the batches in sorted order of their labels; if ``labels`` is None, all cells form one batch."""
        if labels is None:
            return cls(np.zeros(n_cells, np.int64), np.array([n_cells]))
        import pandas as pd

        codes = pd.factorize(labels, sort=True)[0].astype(np.int64)
        return cls(codes, np.bincount(codes[codes >= 0]))

    def split(self, block: Rows, start: int) -> list[Rows]:
        """Split a block of cells, the first of which has number ``start``, by batch; with one batch, nothing is copied."""
        codes = self.codes[start : start + block.n_rows]
        if self.sizes.size == 1 and (codes == 0).all():
            return [block]
        return [block.take(np.flatnonzero(codes == g)) for g in range(self.sizes.size)]


class Moments(NamedTuple):
    """Sums over the cells of each batch, and whether all values are counts."""

    sums: NDArray[np.float64]  # (batches, genes, 2): Σv, and Σv² or a number of cells
    counts: bool  # whether all values are whole numbers ≥ 0

    def plus(self, other: Moments) -> Moments:
        """Add the sums of other cells."""
        return Moments(self.sums + other.sums, self.counts and other.counts)


def group_sums(x: Any, groups: Groups, second: int, prepare: Prepare | None = None) -> Moments:
    """Compute the sums of each batch in one pass over any matrix; see :func:`scae.kernels.sums.columns` for the arguments."""

    def block_sums(block: Rows, start: int) -> Moments:
        results = [sums.columns(part, second, prepare) for part in groups.split(block, start)]
        return Moments(np.stack([total for total, _ in results]), all(counts for _, counts in results))

    return functools.reduce(Moments.plus, each_block(x, block_sums))  # even an empty matrix has one block


def mean_var(total: NDArray[np.float64], n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and unbiased variance, ``(genes,)`` each, from the sums of n values and of their squares, ``(genes, 2)``.

    The difference Σv²/n − mean² of a constant gene is rounding noise of either sign; its variance is 0.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total[:, 0] / n
        var = total[:, 1] / n - mean**2
    var[var < _ROUNDING * mean**2] = 0  # NaN stays
    return mean, var * (n / (n - 1)) if n > 1 else var


def batch_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over batches of ``(batches, genes)``; sorted first, so that rounding does not depend on their order."""
    return np.sort(values, axis=0).mean(axis=0)


def coarse(values: NDArray[np.float64], bits: int = 36) -> NDArray[np.float64]:
    """Round to a number of bits, so that the order in which values were summed does not decide between equal genes."""
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.round(mantissa * 2.0**bits) / 2.0**bits, exponent)
