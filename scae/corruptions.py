"""Corruptions: what the encoder sees of a cell while training; the likelihood always keeps the counts as observed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

import torch
from torch import Tensor

from . import threads
from .batch import CountBatch
from .errors import ConfigError
from .kernels.thin import MOST, binomial_draws
from .parts import option, part


class Corruption(ABC):
    """A random copy of a batch's counts."""

    hides: bool = False  # it tells the encoder of genes that are hidden, so that a query may lack some

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
    """Each molecule kept with a probability drawn for its cell, as in a shallower run (Batson 2019).

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
        whole = batch.value.floor()  # quasi-counts: what is less than a molecule shrinks to its expectation
        return batch.with_value(binomial(whole, keep, rng) + (batch.value - whole) * keep)


@part("corruption", "gaussian")
class GaussianNoise(Corruption):
    """Gaussian noise on every gene of the encoder's input, zeros included (Vincent 2010).

    The reconstruction then points up the density of the noisy data: (r(x̃) − x̃)/sd² is its score where the transform is the
    identity (Vincent 2011, doi:10.1162/NECO_a_00142; Alain & Bengio 2014). Counts stay sparse: the noise is drawn with its
    exact law in the space of the encoder's first layer.
    """

    sd: float = option("standard deviation of the noise, in units of the encoder's input", default=0.5, low=0.0)

    def __call__(self, batch: CountBatch, rng: torch.Generator) -> CountBatch:  # noqa: ARG002
        return replace(batch, noise_sd=self.sd)


@part("corruption", "gene_dropout")
class GeneDropout(Corruption):
    """Whole genes hidden from the encoder, which is told so by a learned value a gene in their place (Devlin 2019).

    A model that was fitted so takes queries in which genes are missing: they are then genes that are hidden, as mask tokens
    are (Devlin 2019, doi:10.18653/v1/N19-1423), and not genes without counts.
    """

    share: float = option("share of the genes hidden in a minibatch", default=0.2, low=0.0, high=1.0)
    hides = True

    def __call__(self, batch: CountBatch, rng: torch.Generator) -> CountBatch:
        hidden = torch.rand(batch.n_genes, generator=rng, device=batch.value.device) < self.share
        return replace(batch, hidden=hidden if batch.hidden is None else hidden | batch.hidden)


def binomial(count: Tensor, share: Tensor, rng: torch.Generator) -> Tensor:
    """Binomial draws ``(n,)`` of each count with its own share."""
    if count.device.type != "cpu":
        return torch.binomial(count, share, generator=rng)
    uniform, out = torch.rand(count.shape, generator=rng, dtype=count.dtype), torch.empty_like(count)
    threads.run(binomial_draws, len(count), count.numpy(), share.numpy(), uniform.numpy(), out.numpy())
    many = count > MOST
    if many.any():
        out[many] = torch.binomial(count[many], share[many], generator=rng)
    return out
