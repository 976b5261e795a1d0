"""Counts of many cells as validated CSR, read some rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from .kernels import csr
from .records import Cells, Counts, GeneStatistics


@dataclass(frozen=True)
class CountMatrix:
    """The modelled genes of all cells, with library sizes and covariates.

    Attributes
    ----------
    indptr, gene, value
        CSR arrays: ``(cells + 1,)`` int64, ``(nnz,)`` int64, ``(nnz,)`` float; rows sorted, no zeros stored.
    n_genes
        Number of modelled genes.
    library
        ``(cells, 1)`` float, counts.
    covariates
        ``(cells, k)`` int64 level codes of the categorical covariates apart from the batch.
    continuous
        ``(cells, c)`` float, standardised.
    batch
        ``(cells,)`` int64 batch codes; None without a batch key.
    label
        ``(cells,)`` int64 label codes, −1 for an unknown label; None without a label key.
    missing
        ``(genes,)`` bool, genes that were not measured in these cells; None where all were.

    Raises
    ------
    MatrixError
        If the CSR arrays contradict each other.
    """

    indptr: NDArray[np.int64]
    gene: NDArray[np.int64]
    value: NDArray
    n_genes: int
    library: NDArray
    covariates: NDArray[np.int64]
    continuous: NDArray
    batch: NDArray[np.int64] | None = None
    label: NDArray[np.int64] | None = None
    missing: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        csr.validate(self.indptr, self.gene, self.value, self.n_genes)

    def __len__(self) -> int:
        return self.indptr.size - 1

    def take(self, rows: NDArray[np.int64]) -> tuple[Counts, Cells]:
        """Some cells, in the order asked for."""
        indptr, gene, value = map(torch.from_numpy, csr.gather(self.indptr, self.gene, self.value, rows))
        missing = None if self.missing is None else torch.from_numpy(self.missing)
        arrays = (self.library, self.covariates, self.continuous, self.batch, self.label)
        cells = Cells(*(None if a is None else torch.from_numpy(a[rows]) for a in arrays))  # type: ignore[arg-type]
        return Counts(indptr, gene, value, self.n_genes, missing), cells

    def blocks(self, size: int, rows: NDArray[np.int64] | None = None) -> Iterator[tuple[slice, Counts, Cells]]:
        """All cells (or ``rows``) in order, at most ``size`` at a time."""
        rows = np.arange(len(self)) if rows is None else rows
        for start in range(0, rows.size, size):
            yield slice(start, min(start + size, rows.size)), *self.take(rows[start : start + size])

    def statistics(self, rows: NDArray[np.int64], transform: Callable[[Counts], Counts], n_groups: int = 1) -> GeneStatistics:
        """What a model starts from, over the cells of ``rows``; input means per batch where there are several groups."""
        total, present, second = np.zeros((3, self.n_genes))
        first = np.zeros((n_groups, self.n_genes))
        for _, counts, cells in self.blocks(4096, rows):
            gene = counts.gene.numpy()
            seen = transform(counts).value.numpy().astype(np.float64)
            total += np.bincount(gene, counts.value.numpy(), self.n_genes)
            present += np.bincount(gene, minlength=self.n_genes)
            second += np.bincount(gene, seen * seen, self.n_genes)
            place = gene if n_groups == 1 else gene + self.n_genes * cells.batch[counts.cell].numpy()  # type: ignore[index]
            first += np.bincount(place, seen, first.size).reshape(first.shape)
        n = max(rows.size, 1)
        sizes = np.array([n]) if n_groups == 1 else np.bincount(self.batch[rows], minlength=n_groups)  # type: ignore[index]
        mean = first / np.maximum(sizes, 1)[:, None]
        variance = second / n - sizes @ mean**2 / n  # within groups
        sd = np.sqrt(np.maximum(variance, 0))
        smooth = total + 0.5  # a gene without counts among these cells is rare, not impossible
        columns = (smooth / smooth.sum(), smooth / n, (present + 0.5) / (n + 1), mean, np.where(sd > 1e-6, sd, 1.0))
        return GeneStatistics(*(torch.from_numpy(c.astype(self.value.dtype)) for c in columns))
