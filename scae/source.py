"""Counts of many cells as validated CSR, handed out rows by rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from .batch import CountBatch, GeneStatistics
from .kernels import csr


@dataclass(frozen=True)
class CountMatrix:
    """The modelled genes of all cells, with exposure and covariates.

    Attributes
    ----------
    indptr, gene, value
        CSR arrays: ``(cells + 1,)`` int64, ``(nnz,)`` int64, ``(nnz,)`` float; rows sorted, no zeros stored.
    library
        ``(cells, 1)`` float, counts.
    covariates
        ``(cells, k)`` int64 level codes.
    continuous
        ``(cells, c)`` float, standardised.
    n_genes
        The number of modelled genes.
    label
        ``(cells,)`` int64 label codes, −1 where not known; None where no part reads labels.
    hidden
        ``(genes,)`` bool, genes that these cells lack and that the encoder is told of; None where there is none.
    """

    indptr: NDArray[np.int64]
    gene: NDArray[np.int64]
    value: NDArray
    library: NDArray
    covariates: NDArray[np.int64]
    continuous: NDArray
    n_genes: int
    label: NDArray[np.int64] | None = None
    hidden: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        csr.validate(self.indptr, self.gene, self.value, self.n_genes)

    def __len__(self) -> int:
        return self.indptr.size - 1

    def take(self, rows: NDArray[np.int64]) -> CountBatch:
        """Some cells, in the order asked for."""
        indptr, gene, value = map(torch.from_numpy, csr.gather(self.indptr, self.gene, self.value, rows))
        library, covariates, continuous = (torch.from_numpy(a[rows]) for a in (self.library, self.covariates, self.continuous))
        label = None if self.label is None else torch.from_numpy(self.label[rows])
        hidden = None if self.hidden is None else torch.from_numpy(self.hidden)
        return CountBatch(indptr, gene, value, library, covariates, continuous, self.n_genes, label=label, hidden=hidden)

    def blocks(self, size: int, rows: NDArray[np.int64] | None = None) -> Iterator[tuple[slice, CountBatch]]:
        """All cells (or ``rows``) in order, at most ``size`` at a time."""
        rows = np.arange(len(self)) if rows is None else rows
        for start in range(0, rows.size, size):
            yield slice(start, min(start + size, rows.size)), self.take(rows[start : start + size])

    def statistics(
        self, rows: NDArray[np.int64], transform: Callable[[CountBatch], CountBatch], n_groups: int = 1
    ) -> GeneStatistics:
        """What a model starts from, over the cells of ``rows``; input means by the first covariate where it has groups."""
        total, present, second = np.zeros((3, self.n_genes))
        first = np.zeros((n_groups, self.n_genes))
        for _, batch in self.blocks(4096, rows):
            gene = batch.gene.numpy()
            seen = transform(batch).value.numpy().astype(np.float64)
            total += np.bincount(gene, batch.value.numpy(), self.n_genes)
            present += np.bincount(gene, minlength=self.n_genes)
            second += np.bincount(gene, seen * seen, self.n_genes)
            place = gene if n_groups == 1 else gene + self.n_genes * batch.covariates[:, 0].numpy()[batch.cell.numpy()]
            first += np.bincount(place, seen, first.size).reshape(first.shape)
        n = max(rows.size, 1)
        sizes = np.bincount(self.covariates[rows, 0], minlength=n_groups) if n_groups > 1 else np.array([n])
        mean = first / np.maximum(sizes, 1)[:, None]
        spread = second / n - sizes @ mean**2 / n  # within groups
        sd = np.sqrt(np.maximum(spread, 0))
        smooth = total + 0.5  # a gene without counts among these cells is rare, not impossible
        columns = (smooth / smooth.sum(), smooth / n, (present + 0.5) / (n + 1), mean, np.where(sd > 1e-6, sd, 1.0))
        return GeneStatistics(*(torch.from_numpy(c.astype(self.value.dtype)) for c in columns))
