"""The records that flow along the rail: what a model was fitted to, a batch of counts, an encoding, a latent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .parts import record


@record
class DataSpec:
    """What a model was fitted to: plain strings and numbers, kept and saved with it.

    Attributes
    ----------
    genes
        Names of the modelled genes, in the order of the weights.
    layer
        The layer that held the counts; None for ``X``.
    size_factor
        The ``obs`` column that gave the exposure; None for the total over the modelled genes.
    counts_per_unit
        Counts that one unit of ``size_factor`` stands for, so that a library is always in counts.
    median_library
        Median library of the training cells, in counts; the unit of exposure of the ``exp`` and ``softplus`` links.
    batch_key
        The categorical covariate that ``at_batch`` decodes at; None where there is none.
    categorical
        ``(column, levels)`` of each categorical covariate.
    continuous
        ``(column, mean, standard deviation)`` of each continuous covariate over the training cells.
    order
        The genes, as positions in ``genes``, along the genome, where the network asks for it; empty: as listed.
    breaks
        Positions in ``order`` at which a further chromosome begins.
    label
        ``(column, levels)`` of the labels that a prior reads; None where none does.
    """

    genes: tuple[str, ...]
    layer: str | None = None
    size_factor: str | None = None
    counts_per_unit: float = 1.0
    median_library: float = 1e4
    batch_key: str | None = None
    categorical: tuple[tuple[str, tuple[str, ...]], ...] = ()
    continuous: tuple[tuple[str, float, float], ...] = ()
    label: tuple[str, tuple[str, ...]] | None = None
    order: tuple[int, ...] = ()
    breaks: tuple[int, ...] = ()

    @property
    def n_genes(self) -> int:
        return len(self.genes)

    @property
    def n_design(self) -> int:
        """Columns of the design matrix: one for each level of each categorical, one for each continuous covariate."""
        return sum(len(levels) for _, levels in self.categorical) + len(self.continuous)


@dataclass(frozen=True)
class CountBatch:
    """Some cells' counts as CSR, with their exposure and covariates: the only batch type.

    Attributes
    ----------
    indptr
        ``(cells + 1,)`` int64, row pointers.
    gene
        ``(nnz,)`` int64, the modelled gene of each stored value.
    value
        ``(nnz,)``, counts, or what a transform made of them.
    library
        ``(cells, 1)``, exposure in counts as observed, never that of a corrupted copy.
    covariates
        ``(cells, k)`` int64, level codes.
    continuous
        ``(cells, c)``, standardised.
    n_genes
        The number of modelled genes.
    shift
        ``(1, genes)`` for all cells, or ``(levels, genes)`` by the first covariate: subtracted from every gene, zeros included;
        the first layer folds it into its bias.
    label
        ``(cells,)`` int64, label codes, −1 where the label is not known; None where no part reads labels.
    hidden
        ``(genes,)`` bool, genes of which the encoder is told that it does not see them; None where it sees all.
    noise_sd
        Standard deviation of the Gaussian noise that the first layer is to add to every gene of its input, zeros included.
    """

    indptr: Tensor
    gene: Tensor
    value: Tensor
    library: Tensor
    covariates: Tensor
    continuous: Tensor
    n_genes: int
    shift: Tensor | None = None
    label: Tensor | None = None
    hidden: Tensor | None = None
    noise_sd: float = 0.0

    def __len__(self) -> int:
        return self.library.shape[0]

    @cached_property
    def cell(self) -> Tensor:
        """``(nnz,)`` int64, the row of each stored value."""
        return torch.repeat_interleave(
            torch.arange(len(self), device=self.indptr.device), self.indptr.diff(), output_size=self.gene.shape[0]
        )

    def totals(self) -> Tensor:
        """``(cells, 1)``, the sum of the stored values of each cell."""
        return self.value.new_zeros(len(self)).index_add_(0, self.cell, self.value)[:, None]

    def dense(self) -> Tensor:
        """``(cells, genes)``: for the output side and for tests; nothing on the way in calls it."""
        out = self.value.new_zeros(len(self), self.n_genes).index_put_((self.cell, self.gene), self.value)
        return out if self.shift is None else out - self.by_group(self.shift)

    def by_group(self, rows: Tensor) -> Tensor:
        """The row of each cell in ``(1, n)``, or in ``(levels, n)`` by the first covariate: ``(1, n)`` or ``(cells, n)``."""
        return rows if len(rows) == 1 else rows[self.covariates[:, 0]]

    def of_own_group(self, value: Tensor) -> Tensor:
        """``(groups, n)`` as ``(cells, n)`` by the first covariate, as ``(n,)`` where there is one group; the rest as it is."""
        if value.dim() < 2:
            return value
        return value[0] if len(value) == 1 else value[self.covariates[:, 0]]

    def standardized(self, mean: Tensor, sd: Tensor) -> CountBatch:
        """(x − mean) / sd for each gene, still sparse."""
        return replace(self, value=self.value / sd[self.gene], shift=mean / sd)

    def with_value(self, value: Tensor) -> CountBatch:
        """The same cells and genes with other values."""
        return replace(self, value=value)

    def repeated(self, n: int) -> CountBatch:
        """The cells ``n`` times over, as a whole: ``(n · cells,)``."""
        ends = [self.indptr[1:] + i * self.indptr[-1] for i in range(n)]
        whole = {name: getattr(self, name).repeat(n) for name in ("gene", "value")}
        rows = {name: getattr(self, name).repeat(n, 1) for name in ("library", "covariates", "continuous")}
        label = None if self.label is None else self.label.repeat(n)
        return replace(self, indptr=torch.cat([self.indptr[:1], *ends]), label=label, **whole, **rows)

    def visible(self) -> CountBatch:
        """The batch without the stored values of hidden genes: the same bits as one in which they never were."""
        if self.hidden is None:
            return self
        kept = ~self.hidden[self.gene]
        before = nn.functional.pad(kept.cumsum(0), (1, 0))  # kept values before each stored one
        return replace(self, indptr=before[self.indptr], gene=self.gene[kept], value=self.value[kept])

    def with_stand_in(self, value: Tensor) -> CountBatch:
        """Hidden genes at a value ``(genes,)`` of their own, on the encoder's scale and for every cell."""
        if self.hidden is None:
            return self
        shift = value.new_zeros(1, self.n_genes) if self.shift is None else self.shift
        return replace(self, shift=torch.where(self.hidden, -value, shift))

    def to(self, device: torch.device) -> CountBatch:
        """The batch on another device."""
        if self.value.device == device:
            return self
        names = ("indptr", "gene", "value", "library", "covariates", "continuous", "shift", "label", "hidden")
        there = {n: getattr(self, n) for n in names if getattr(self, n) is not None}
        return replace(self, **{n: t.to(device, non_blocking=True) for n, t in there.items()})


class GeneStatistics(NamedTuple):
    """What a model starts from: per gene, over the training cells, ``(genes,)`` each."""

    share: Tensor  # of all counts, smoothed so that none is zero
    mean: Tensor  # count
    detected: Tensor  # share of cells with at least one count, smoothed
    input_mean: Tensor  # of the transformed values, (1, genes), or (levels, genes) by the first covariate
    input_sd: Tensor  # of the transformed values


class Encoded(NamedTuple):
    """What an encoder hands to the bottleneck."""

    stats: Tensor  # (cells, n_stats): the numbers that the bottleneck asked for
    first: Tensor  # (cells, width of the first layer), before norm and activation
    again: Callable[[Tensor], Tensor]  # the rest of the encoder: another (cells, width) → (cells, n_stats)
    jacobian_sq: Callable[[Tensor], Tensor]  # u (cells, width) → ‖uᵀ ∂first/∂input‖², (cells,)
    groups: Tensor | None = None  # (cells,) int64, batch codes that the latent is to be free of
    label: Tensor | None = None  # (cells,) int64, −1 where not known; None where no part reads labels

    def repeated(self, n: int) -> Encoded:
        """The cells ``n`` times over, as a whole, without encoding them again."""
        groups, label = (None if codes is None else codes.repeat(n) for codes in (self.groups, self.label))
        return self._replace(stats=self.stats.repeat(n, 1), first=self.first.repeat(n, 1), groups=groups, label=label)


class Latent(NamedTuple):
    """What a bottleneck hands on."""

    z: Tensor  # (cells, dim), to the decoder
    point: Tensor  # (cells, dim), to obsm
    sd: Tensor  # (cells, dim), posterior standard deviation; zero where the code is a point
    kl: Tensor  # (cells,) nats, weighted by β, warmed up
    penalty: Tensor  # (cells,) nats, not warmed up; what is charged to a whole minibatch is shared evenly by its cells
    trace: Mapping[str, Tensor] = {}  # what ``after_step`` wants; scalars also go to the history


@dataclass(frozen=True)
class Loss:
    """The parts of the loss, in nats per cell, ``(cells,)`` each, and the latent that they were taken at."""

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
        names = ("total", "nll", "kl", "penalty")
        means = {name: torch.stack([getattr(loss, name) for loss in losses]).mean(0) for name in names}
        return cls(**means, latent=losses[0].latent)

    def parts(self) -> dict[str, Tensor]:
        """By name, as the history calls them."""
        return {"loss": self.total, "nll": self.nll, "kl": self.kl, "penalty": self.penalty}


@dataclass
class History:
    """One row a check; losses are means in nats per cell, time in seconds since the start of the fit."""

    rows: list[dict[str, float]] = field(default_factory=list)
    best: int = -1  # the row whose weights were kept
    stopped: str = "all planned steps done"

    def column(self, name: str) -> list[float]:
        return [row[name] for row in self.rows if name in row]
