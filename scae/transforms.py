"""Transforms: the scale on which the encoder sees counts. Zero stays zero, so sparse stays sparse."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from .batch import CountBatch
from .parts import option, part


class Transform(ABC):
    """A value for each stored count; ``inverse`` leads back to counts."""

    standardize: bool = False  # fold (x − mean) / sd of the training cells into the first layer
    center_batches: bool = False  # and take the mean from the cells of the same batch
    of_counts: bool = True  # it is a function of counts; otherwise values may be on any scale from zero up

    @abstractmethod
    def __call__(self, batch: CountBatch) -> CountBatch:
        """The batch with the values that the encoder sees, normalised by its own totals."""

    @abstractmethod
    def inverse(self, value: Tensor, library: Tensor) -> Tensor:
        """Expected counts ``(cells, genes)`` at a library ``(cells, 1)`` from dense values on this scale."""


def _as_counts(rate: Tensor, library: Tensor) -> Tensor:
    return rate / rate.sum(1, keepdim=True).clamp_min(torch.finfo(rate.dtype).tiny) * library


@part("transform", "identity")
class Identity(Transform):
    """The counts themselves, or values that were normalised before."""

    of_counts = False

    standardize: bool = option("centre and scale each gene", default=False)
    center_batches: bool = option("centre each gene within its batch, where there is a batch key", default=False)

    def __call__(self, batch: CountBatch) -> CountBatch:
        return batch

    def inverse(self, value: Tensor, library: Tensor) -> Tensor:
        return _as_counts(value.clamp_min(0), library)


@part("transform", "log1p")
class Log1p(Transform):
    """log(1 + count), depth left in (Lopez 2018)."""

    standardize: bool = option("centre and scale each gene", default=False)
    center_batches: bool = option("centre each gene within its batch, where there is a batch key", default=False)

    def __call__(self, batch: CountBatch) -> CountBatch:
        return batch.with_value(batch.value.log1p())

    def inverse(self, value: Tensor, library: Tensor) -> Tensor:
        return _as_counts(value.expm1().clamp_min(0), library)


@part("transform", "normalized")
class Normalized(Transform):
    """count / total · target: every cell scaled to one total, no logarithm (Eraslan 2019); large targets make large inputs."""

    target_sum: float = option("total that every cell is scaled to (100: per cent)", default=100.0, low=1.0)
    standardize: bool = option("centre and scale each gene", default=False)
    center_batches: bool = option("centre each gene within its batch, where there is a batch key", default=False)

    def __call__(self, batch: CountBatch) -> CountBatch:
        factor = self.target_sum / batch.totals().clamp_min(1e-12)
        return batch.with_value(batch.value * factor[batch.cell, 0])

    def inverse(self, value: Tensor, library: Tensor) -> Tensor:
        return _as_counts(value.clamp_min(0), library)


@part("transform", "log_normalized")
class LogNormalized(Transform):
    """log(1 + count / total · target): log1p of counts per target_sum, 10⁴ as in scanpy (Wolf 2018)."""

    target_sum: float = option("total that every cell is scaled to", default=1e4, low=1.0)
    standardize: bool = option("centre and scale each gene", default=False)
    center_batches: bool = option("centre each gene within its batch, where there is a batch key", default=False)

    def __call__(self, batch: CountBatch) -> CountBatch:
        factor = self.target_sum / batch.totals().clamp_min(1e-12)
        return batch.with_value((batch.value * factor[batch.cell, 0]).log1p())

    def inverse(self, value: Tensor, library: Tensor) -> Tensor:
        return _as_counts(value.expm1().clamp_min(0), library)


@part("transform", "presence")
class Presence(Transform):
    """1 where a count is above zero: for peaks and other on-off features (Ashuach 2022)."""

    def __call__(self, batch: CountBatch) -> CountBatch:
        return batch.with_value((batch.value > 0).to(batch.value.dtype))

    def inverse(self, value: Tensor, library: Tensor) -> Tensor:
        return _as_counts(value.clamp_min(0), library)
