"""The records that flow through a model: counts, cells, the encoder's input, an encoding, a latent, a loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


def _moved(values: Iterable[Tensor | None], device: torch.device) -> list[Any]:
    return [None if value is None else value.to(device, non_blocking=True) for value in values]


@dataclass(frozen=True)
class Counts:
    """Counts of some cells as CSR.

    Attributes
    ----------
    indptr
        ``(cells + 1,)`` int64, row pointers.
    gene
        ``(nnz,)`` int64, the modelled gene of each stored value.
    value
        ``(nnz,)`` float, counts, or what a corruption or a transform made of them.
    n_genes
        Number of modelled genes.
    missing
        ``(genes,)`` bool, genes that were not measured, whose zeros say nothing; None where all were.
    """

    indptr: Tensor
    gene: Tensor
    value: Tensor
    n_genes: int
    missing: Tensor | None = None

    def __len__(self) -> int:
        return self.indptr.shape[0] - 1

    @cached_property
    def cell(self) -> Tensor:
        """``(nnz,)`` int64, the row of each stored value."""
        cells = torch.arange(len(self), device=self.indptr.device)
        return torch.repeat_interleave(cells, self.indptr.diff(), output_size=self.gene.shape[0])

    def totals(self) -> Tensor:
        """``(cells, 1)``, the sum of the stored values of each cell."""
        return self.value.new_zeros(len(self)).index_add_(0, self.cell, self.value)[:, None]

    def dense(self) -> Tensor:
        """``(cells, genes)``, for outputs and tests: counts are never made dense on their way into a model."""
        return self.value.new_zeros(len(self), self.n_genes).index_put_((self.cell, self.gene), self.value)

    def with_value(self, value: Tensor) -> Counts:
        """The same cells and genes with other stored values ``(nnz,)``."""
        return replace(self, value=value)

    def without(self, genes: Tensor) -> Counts:
        """The counts without the stored values of some genes ``(genes,)`` bool, as if they had never been there."""
        return self.where(~genes[self.gene])

    def where(self, kept: Tensor) -> Counts:
        """Only some of the stored values, ``(nnz,)`` bool."""
        before = nn.functional.pad(kept.cumsum(0), (1, 0))  # kept values before each stored one
        return replace(self, indptr=before[self.indptr], gene=self.gene[kept], value=self.value[kept])

    def repeated(self, n: int) -> Counts:
        """All cells ``n`` times over: ``(n · cells,)``."""
        if n == 1:
            return self
        ends = [self.indptr[1:] + i * self.indptr[-1] for i in range(n)]
        return replace(self, indptr=torch.cat([self.indptr[:1], *ends]), gene=self.gene.repeat(n), value=self.value.repeat(n))

    def to(self, device: torch.device) -> Counts:
        """The counts on another device."""
        if self.value.device == device:
            return self
        indptr, gene, value, missing = _moved((self.indptr, self.gene, self.value, self.missing), device)
        return Counts(indptr, gene, value, self.n_genes, missing)


@dataclass(frozen=True)
class Cells:
    """What is known of some cells beside their counts.

    Attributes
    ----------
    library
        ``(cells, 1)`` float, library size in counts as observed, never that of a corrupted copy.
    covariates
        ``(cells, k)`` int64, level codes of the categorical covariates apart from the batch.
    continuous
        ``(cells, c)`` float, continuous covariates, standardised.
    batch
        ``(cells,)`` int64, batch codes; None without a batch key.
    label
        ``(cells,)`` int64, label codes, −1 for an unknown label; None without a label key.
    """

    library: Tensor
    covariates: Tensor
    continuous: Tensor
    batch: Tensor | None = None
    label: Tensor | None = None

    def __len__(self) -> int:
        return self.library.shape[0]

    def of_batch(self, rows: Tensor) -> Tensor:
        """Each cell's row of a table per batch: ``(batches, n)`` → ``(cells, n)``; ``(1, n)`` stays as it is."""
        return rows if len(rows) == 1 or self.batch is None else rows[self.batch]

    def repeated(self, n: int) -> Cells:
        """All cells ``n`` times over: ``(n · cells,)``."""
        if n == 1:
            return self
        batch, label = (None if codes is None else codes.repeat(n) for codes in (self.batch, self.label))
        library, covariates, continuous = (v.repeat(n, 1) for v in (self.library, self.covariates, self.continuous))
        return Cells(library, covariates, continuous, batch, label)

    def to(self, device: torch.device) -> Cells:
        """The cells on another device."""
        if self.library.device == device:
            return self
        return Cells(*_moved((self.library, self.covariates, self.continuous, self.batch, self.label), device))


@dataclass(frozen=True)
class EncoderInput:
    """What an encoder sees of some cells.

    Attributes
    ----------
    counts
        Stored values, on the encoder's scale once they have passed :class:`scae.input.InputScale`.
    shift
        ``(1, genes)``, or ``(batches, genes)``: subtracted from every gene, zeros included. The first layer folds it into its
        bias, so the input stays sparse. None: nothing.
    batch
        ``(cells,)`` int64, which row of ``shift`` belongs to a cell; None where there is one row.
    hidden
        ``(genes,)`` bool, genes that the encoder is told are hidden; None where it sees all.
    noise_sd
        Standard deviation of the Gaussian noise that the first layer adds to every gene, zeros included.
    """

    counts: Counts
    shift: Tensor | None = None
    batch: Tensor | None = None
    hidden: Tensor | None = None
    noise_sd: float = 0.0

    def of_cell(self, rows: Tensor) -> Tensor:
        """Each cell's row of a table with as many rows as ``shift``."""
        return rows if self.batch is None or len(rows) == 1 else rows[self.batch]

    def dense(self) -> Tensor:
        """``(cells, genes)``, for tests; noise aside."""
        dense = self.counts.dense()
        return dense if self.shift is None else dense - self.of_cell(self.shift)


@dataclass(frozen=True)
class Affine:
    """Read-outs that are linear in a hidden layer, and are computed only where they are asked for.

    Attributes
    ----------
    x
        ``(cells, width)``.
    weight
        ``(genes, width)``.
    bias
        ``(genes,)``.
    """

    x: Tensor
    weight: Tensor
    bias: Tensor

    @cached_property
    def value(self) -> Tensor:
        """``(cells, genes)``."""
        return nn.functional.linear(self.x, self.weight, self.bias)


class GeneStatistics(NamedTuple):
    """What a model starts from: per gene, over the training cells, ``(genes,)`` each."""

    share: Tensor  # share of all counts, smoothed so that none is zero
    mean: Tensor  # mean count
    detected: Tensor  # share of cells with at least one count, smoothed
    input_mean: Tensor  # mean of the transformed values, (1, genes) or (batches, genes)
    input_sd: Tensor  # their standard deviation, within batches where the means are per batch


class Encoded(NamedTuple):
    """What an encoder gives to the bottleneck."""

    stats: Tensor  # (cells, n_stats): the numbers that the bottleneck asked for
    first: Tensor  # (cells, width): output of the first layer, before norm and activation
    design: Tensor | None  # (cells, n_design): the cells' covariates; None without any
    rest: Callable[[Tensor, Tensor | None], Tensor]  # the layers after the first: first, design → stats, of these or other rows
    jacobian_sq: Callable[[Tensor], Tensor]  # u (cells, width) → ‖uᵀ ∂first/∂input‖², (cells,)

    def repeated(self, n: int) -> Encoded:
        """All cells ``n`` times over, without encoding them again."""
        if n == 1:
            return self
        design = None if self.design is None else self.design.repeat(n, 1)
        return self._replace(stats=self.stats.repeat(n, 1), first=self.first.repeat(n, 1), design=design)


class Latent(NamedTuple):
    """What a bottleneck makes of an encoding."""

    z: Tensor  # (cells, dim), to the decoder
    point: Tensor  # (cells, dim), to obsm
    kl: Tensor  # (cells,) nats; the loss weights it by β and the warm-up
    penalty: Tensor  # (cells,) nats, no warm-up; a cost of the whole minibatch is shared evenly by its cells
    sd: Tensor | None = None  # (cells, dim), posterior standard deviation; None where the latent is a point
    codes: Tensor | None = None  # (cells, books) int64, entries of the codebooks; None without codebooks
    history: Mapping[str, Tensor] = {}  # scalars for the training history
    state: Any = None  # what the bottleneck's own ``bound`` or ``after_step`` needs


@dataclass(frozen=True)
class Loss:
    """The parts of the loss, nats per cell, ``(cells,)`` each, and the latent at which they were taken."""

    total: Tensor
    nll: Tensor
    kl: Tensor
    penalty: Tensor
    latent: Latent

    @classmethod
    def mean(cls, losses: list[Loss]) -> Loss:
        """The mean of several losses of the same cells, with the first one's latent."""
        if len(losses) == 1:
            return losses[0]
        means = {name: torch.stack([loss.parts()[name] for loss in losses]).mean(0) for name in losses[0].parts()}
        return cls(means.pop("loss"), **means, latent=losses[0].latent)

    def parts(self) -> dict[str, Tensor]:
        """The parts by the names they have in the history."""
        return {"loss": self.total, "nll": self.nll, "kl": self.kl, "penalty": self.penalty}
