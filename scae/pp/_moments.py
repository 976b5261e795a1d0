"""Means and variances of genes, over all cells or batch by batch."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..kernels import sums
from ..kernels.rows import Prepare, Rows
from ._matrix import each_block


class Groups(NamedTuple):
    """Which batch each cell belongs to; −1 for none."""

    codes: NDArray[np.int64]  # (cells,)
    sizes: NDArray[np.int64]  # (groups,)

    @classmethod
    def of(cls, labels: Any, n_cells: int) -> Groups:
        """Batches in the order of their sorted labels; one batch where ``labels`` is None."""
        if labels is None:
            return cls(np.zeros(n_cells, np.int64), np.array([n_cells]))
        import pandas as pd

        codes = pd.factorize(labels, sort=True)[0].astype(np.int64)
        return cls(codes, np.bincount(codes[codes >= 0]))

    def split(self, block: Rows, start: int) -> list[Rows]:
        """A block's cells of each batch; the block itself where there is only one."""
        codes = self.codes[start : start + block.n_rows]
        if self.sizes.size == 1 and (codes == 0).all():
            return [block]
        return [block.take(np.flatnonzero(codes == g)) for g in range(self.sizes.size)]


class Moments(NamedTuple):
    """Column sums of each batch, and whether all values are counts."""

    sums: NDArray[np.float64]  # (groups, genes, 2): Σv, and Σv² or a number of cells
    counts: bool

    def plus(self, other: Moments) -> Moments:
        return Moments(self.sums + other.sums, self.counts and other.counts)


def group_sums(x: Any, groups: Groups, second: int, prepare: Prepare | None = None) -> Moments:
    """Column sums of every batch in one pass over the blocks of any matrix."""

    def of(block: Rows, start: int) -> Moments:
        found = [sums.columns(part, second, prepare) for part in groups.split(block, start)]
        return Moments(np.stack([f[0] for f in found]), all(f[1] for f in found))

    return functools.reduce(Moments.plus, each_block(x, of))  # every matrix has a block, if an empty one


def mean_var(total: NDArray[np.float64], n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and unbiased variance from ``(genes, 2)`` sums of n values and of their squares."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total[:, 0] / n
        var = total[:, 1] / n - mean**2
    return mean, var * (n / (n - 1)) if n > 1 else var
