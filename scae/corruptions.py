"""Corruptions: what the encoder sees of a cell while training; the likelihood always keeps the counts as observed."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from . import threads
from .batch import CountBatch
from .errors import ConfigError
from .kernels.thin import MOST, thin
from .parts import option, part


class Corruption(ABC):
    """A random copy of a batch's counts."""

    @abstractmethod
    def __call__(self, batch: CountBatch, rng: torch.Generator) -> CountBatch:
        """The corrupted copy: same cells, same stored genes, other values; the exposure stays as observed."""


@part("corruption", "none")
class NoCorruption(Corruption):
    """The counts as they are."""

    def __call__(self, batch: CountBatch, rng: torch.Generator) -> CountBatch:  # noqa: ARG002
        return batch


@part("corruption", "masking")
class Masking(Corruption):
    """Each stored count set to zero with a fixed probability (Vincent 2008)."""

    share: float = option("share of the stored counts set to zero", default=0.2, low=0.0, high=1.0)

    def __call__(self, batch: CountBatch, rng: torch.Generator) -> CountBatch:
        kept = torch.rand(batch.value.shape, generator=rng, device=batch.value.device) >= self.share
        return batch.with_value(batch.value * kept)


@part("corruption", "thinning")
class Thinning(Corruption):
    """Each molecule kept with a probability drawn for its cell: the cell as a shallower run would have seen it.

    A binomial draw of each count; the share of molecules kept is uniform between ``low`` and ``high`` for each cell, so that
    the encoder meets many depths. Binomial thinning of counts is the noise of sequencing itself (Batson 2019).
    """

    low: float = option("least share of molecules kept", default=0.3, low=0.0, high=1.0)
    high: float = option("greatest share of molecules kept", default=0.9, low=0.0, high=1.0)

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ConfigError(f"corruption 'thinning': low is {self.low} above high {self.high}; allowed: low ≤ high.")

    def __call__(self, batch: CountBatch, rng: torch.Generator) -> CountBatch:
        drawn = torch.rand(len(batch), generator=rng, device=batch.value.device, dtype=batch.value.dtype)
        keep = (self.low + (self.high - self.low) * drawn)[batch.cell]
        return batch.with_value(binomial(batch.value, keep, rng))


def binomial(count: Tensor, share: Tensor, rng: torch.Generator) -> Tensor:
    """Binomial draws ``(n,)`` of each count with its own share."""
    if count.device.type != "cpu":
        return torch.binomial(count, share, generator=rng)
    uniform, out = torch.rand(count.shape, generator=rng, dtype=count.dtype), torch.empty_like(count)
    threads.run(thin, len(count), count.numpy(), share.numpy(), uniform.numpy(), out.numpy())
    many = count > MOST
    if many.any():
        out[many] = torch.binomial(count[many], share[many], generator=rng)
    return out
