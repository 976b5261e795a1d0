"""Transforms: the scale on which the encoder sees counts. A zero count stays zero, so sparse data stay sparse."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from . import threads
from .kernels.normalized import normalized
from .keys import DataSpec
from .parts import option, part
from .records import Counts


class Transform(ABC):
    """A function of each cell's counts; ``inverse`` maps values back to expected counts."""

    standardize: bool = False  # subtract each gene's training mean and divide by its standard deviation
    center_batches: bool = False  # subtract each gene's mean within the cell's batch instead
    of_counts: bool = True  # whether it needs counts; otherwise any nonnegative values will do

    @abstractmethod
    def __call__(self, counts: Counts) -> Counts:
        """Transformed values of the same cells and genes; where a cell is normalised, it is by the total of the given values."""

    def of(self, data: DataSpec) -> Transform:
        """The transform with what it takes from the cells of the fit, such as their median library size."""
        return self

    @abstractmethod
    def inverse(self, value: Tensor, library: Tensor) -> Tensor:
        """Expected counts from values on this scale.

        Parameters
        ----------
        value
            ``(cells, genes)``, dense; negative values are set to zero.
        library
            ``(cells, 1)``, library sizes, counts.

        Returns
        -------
        Tensor
            ``(cells, genes)``, counts; each cell sums to its library size.
        """


def _as_counts(rate: Tensor, library: Tensor) -> Tensor:
    return rate / rate.sum(1, keepdim=True).clamp_min(torch.finfo(rate.dtype).tiny) * library


def _largest_log(value: Tensor, total: Tensor) -> Tensor:
    """The m of each cell ``(cells, 1)`` for which expm1(m · value) sums to its total: a convex equation, solved by Newton.

    From the largest m that is possible, where the value of one gene makes up the whole total, each step goes down, and none too
    far.
    """
    m = total.log1p() / value.amax(1, keepdim=True).clamp_min(1e-12)
    for _ in range(50):
        grown = (m * value).exp()
        excess = (grown - 1).sum(1, keepdim=True) - total
        step = excess / (grown * value).sum(1, keepdim=True).clamp_min(1e-12)
        m = (m - step).clamp_min(0)
        if (step.abs() <= 8 * torch.finfo(m.dtype).eps * m).all():
            break
    return m


@part("transform", "normalized")
class Normalized(Transform):
    """Library-size normalisation and log1p: log(1 + target_sum · count / total), as in scanpy (Wolf 2018).

    With ``target_sum=None`` counts are not normalised, only logged: log(1 + count), as in scVI (Lopez 2018); with
    ``target_sum="median"`` every cell is scaled to the median library size of the cells of the fit, as in DCA (Eraslan 2019).
    With ``log=False`` values are counts scaled to ``target_sum``; choose about 100 then, since 10⁴ would make large inputs. With
    None and ``log=False``, the encoder sees the counts themselves.

    ``unit_max`` divides each cell's values by their largest, so that they lie between 0 and 1: min–max scaling, as in scDHA (Tran
    2021), of cells with at least one zero. The base of the logarithm then makes no difference.

    Examples
    --------
    >>> Normalized(target_sum=None).log  # log(1 + count)
    True
    """

    target_sum: float | Literal["median"] | None = option(
        "total to which every cell is scaled (median: the median library size; none: counts are not scaled)", default=1e4, low=1.0
    )
    log: bool = option("apply log(1 + x)", default=True)
    unit_max: bool = option("divide each cell's values by the largest of them", default=False)
    standardize: bool = option("centre each gene and scale it to unit variance", default=False)
    center_batches: bool = option("centre each gene within each batch, if there is a batch key", default=False)

    @property
    def of_counts(self) -> bool:  # type: ignore[override]
        return self.log or self.unit_max or self.target_sum is not None

    def of(self, data: DataSpec) -> Normalized:
        return replace(self, target_sum=max(data.median_library, 1.0)) if self.target_sum == "median" else self

    def __call__(self, counts: Counts) -> Counts:
        value = counts.value
        if value.device.type == "cpu" and value.dtype == torch.float32 and not value.requires_grad:
            return counts.with_value(self._by_kernel(counts))
        if self.target_sum is not None:
            factor = float(self.target_sum) / counts.totals().clamp_min(1e-12)
            value = value * factor[counts.cell, 0]
        value = value.log1p() if self.log else value
        if self.unit_max:
            largest = value.new_zeros(len(counts)).scatter_reduce(0, counts.cell, value, "amax").clamp_min(1e-12)
            value = value / largest[counts.cell]
        return counts.with_value(value)

    def _by_kernel(self, counts: Counts) -> Tensor:
        out, target = torch.empty_like(counts.value), 0.0 if self.target_sum is None else float(self.target_sum)
        arrays = (counts.indptr.numpy(), counts.value.numpy(), target, self.log, self.unit_max, out.numpy())
        threads.run(normalized, len(counts), *arrays, work=out.numel())
        return out

    def inverse(self, value: Tensor, library: Tensor) -> Tensor:
        value = value.clamp_min(0)
        if self.log and self.unit_max:
            total = library if self.target_sum is None else torch.full_like(library, float(self.target_sum))
            value = value * _largest_log(value, total)
        return _as_counts(value.expm1() if self.log else value, library)


@part("transform", "presence")
class Presence(Transform):
    """Presence or absence: 1 where the count is above zero, for peaks and other on/off features (Ashuach 2022)."""

    def __call__(self, counts: Counts) -> Counts:
        return counts.with_value((counts.value > 0).to(counts.value.dtype))

    def inverse(self, value: Tensor, library: Tensor) -> Tensor:
        return _as_counts(value.clamp_min(0), library)
