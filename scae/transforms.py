"""Transforms: the scale on which the encoder sees counts. Zero stays zero, so sparse stays sparse."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from .parts import option, part
from .records import Counts


class Transform(ABC):
    """A value per stored count; ``inverse`` leads back to counts."""

    standardize: bool = False  # subtract each gene's mean over the training cells and divide by its standard deviation
    center_batches: bool = False  # subtract the mean over the cells of the same batch instead
    of_counts: bool = True  # it needs counts; otherwise values may be on any scale from zero up

    @abstractmethod
    def __call__(self, counts: Counts) -> Counts:
        """The values that the encoder sees, normalised by their own totals."""

    @abstractmethod
    def inverse(self, value: Tensor, library: Tensor) -> Tensor:
        """Expected counts ``(cells, genes)`` at a library size ``(cells, 1)`` from dense values on this scale."""


def _as_counts(rate: Tensor, library: Tensor) -> Tensor:
    return rate / rate.sum(1, keepdim=True).clamp_min(torch.finfo(rate.dtype).tiny) * library


@part("transform", "normalized")
class Normalized(Transform):
    """log(1 + count / total · target): log1p of counts per ``target_sum``, 10⁴ as in scanpy (Wolf 2018).

    Without a ``target_sum`` the depth stays in: log(1 + count) (Lopez 2018). Without ``log`` the values are shares of the
    target, or, with neither, the counts themselves; large targets then make large inputs, so take 100 or so.

    Examples
    --------
    >>> Normalized(target_sum=None).log  # log(1 + count)
    True
    """

    target_sum: float | None = option("total to which every cell is scaled (none: no scaling)", default=1e4, low=1.0)
    log: bool = option("take log(1 + value)", default=True)
    standardize: bool = option("centre and scale each gene", default=False)
    center_batches: bool = option("centre each gene within its batch, where there is a batch key", default=False)

    @property
    def of_counts(self) -> bool:  # type: ignore[override]
        return self.log or self.target_sum is not None

    def __call__(self, counts: Counts) -> Counts:
        value = counts.value
        if self.target_sum is not None:
            factor = self.target_sum / counts.totals().clamp_min(1e-12)
            value = value * factor[counts.cell, 0]
        return counts.with_value(value.log1p() if self.log else value)

    def inverse(self, value: Tensor, library: Tensor) -> Tensor:
        return _as_counts((value.expm1() if self.log else value).clamp_min(0), library)


@part("transform", "presence")
class Presence(Transform):
    """1 where a count is above zero: for peaks and other on-off features (Ashuach 2022)."""

    def __call__(self, counts: Counts) -> Counts:
        return counts.with_value((counts.value > 0).to(counts.value.dtype))

    def inverse(self, value: Tensor, library: Tensor) -> Tensor:
        return _as_counts(value.clamp_min(0), library)
