"""Corruptions: what the encoder sees of a cell in training; the likelihood always keeps the counts as observed."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from . import threads
from .errors import ConfigError
from .kernels.thin import MOST, binomial_draws
from .parts import option, part
from .records import Counts, EncoderInput


class Corruption(ABC):
    """A random copy of some cells' counts."""

    hides: bool = False  # it hides genes and says so, so the model learns a value per hidden gene and a query may lack genes

    @abstractmethod
    def __call__(self, counts: Counts, rng: torch.Generator) -> EncoderInput:
        """The corrupted copy: same cells and stored genes, other values, or a note to the encoder (``hidden``, ``noise_sd``)."""


@part("corruption", "none")
class NoCorruption(Corruption):
    """The counts as they are."""

    def __call__(self, counts: Counts, rng: torch.Generator) -> EncoderInput:
        return EncoderInput(counts)


@part("corruption", "masking")
class Masking(Corruption):
    """Each stored count set to zero with a fixed probability (Vincent 2008)."""

    share: float = option("share of the stored counts set to zero", default=0.2, low=0.0, high=1.0)

    def __call__(self, counts: Counts, rng: torch.Generator) -> EncoderInput:
        kept = torch.rand(counts.value.shape, generator=rng, device=counts.value.device) >= self.share
        return EncoderInput(counts.with_value(counts.value * kept))


@part("corruption", "thinning")
class Thinning(Corruption):
    """Each molecule kept with a probability drawn per cell, as in a shallower sequencing run (Batson 2019).

    Counts are thinned by binomial draws, which is the noise of sequencing itself. The share of molecules kept is uniform between
    ``low`` and ``high`` for each cell, so the encoder sees many depths.

    Raises
    ------
    ConfigError
        If ``low`` is above ``high``.
    """

    low: float = option("least share of molecules kept", default=0.3, low=0.0, high=1.0)
    high: float = option("greatest share of molecules kept", default=0.9, low=0.0, high=1.0)

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ConfigError(f"corruption 'thinning': low is {self.low} above high {self.high}; allowed: low ≤ high.")

    def __call__(self, counts: Counts, rng: torch.Generator) -> EncoderInput:
        drawn = torch.rand(len(counts), generator=rng, device=counts.value.device, dtype=counts.value.dtype)
        keep = (self.low + (self.high - self.low) * drawn)[counts.cell]
        whole = counts.value.floor()  # quasi-counts: a fraction of a molecule shrinks to its expectation
        return EncoderInput(counts.with_value(binomial(whole, keep, rng) + (counts.value - whole) * keep))


@part("corruption", "gaussian")
class GaussianNoise(Corruption):
    """Gaussian noise on every gene of the encoder's input, zeros included (Vincent 2010).

    The reconstruction then points up the density of the noisy data: (r(x̃) − x̃)/sd² is its score where the transform is the
    identity (Vincent 2011, doi:10.1162/NECO_a_00142; Alain & Bengio 2014). Counts stay sparse: the noise is drawn with its
    exact distribution in the space of the encoder's first layer.
    """

    sd: float = option("standard deviation of the noise, in units of the encoder's input", default=0.5, low=0.0)

    def __call__(self, counts: Counts, rng: torch.Generator) -> EncoderInput:
        return EncoderInput(counts, noise_sd=self.sd)


@part("corruption", "gene_dropout")
class GeneDropout(Corruption):
    """Whole genes hidden from the encoder, with a learned value per gene in their place (Devlin 2019).

    The value plays the part of a mask token (doi:10.18653/v1/N19-1423). A model fitted this way accepts queries that lack
    some genes: it treats them as hidden, not as genes without counts.
    """

    share: float = option("share of the genes hidden in a minibatch", default=0.2, low=0.0, high=1.0)
    hides = True

    def __call__(self, counts: Counts, rng: torch.Generator) -> EncoderInput:
        return EncoderInput(counts, hidden=torch.rand(counts.n_genes, generator=rng, device=counts.value.device) < self.share)


def binomial(count: Tensor, share: Tensor, rng: torch.Generator) -> Tensor:
    """Binomial draws ``(n,)``, one per count and share."""
    if count.device.type != "cpu":
        return torch.binomial(count, share, generator=rng)
    uniform, out = torch.rand(count.shape, generator=rng, dtype=count.dtype), torch.empty_like(count)
    threads.run(binomial_draws, len(count), count.numpy(), share.numpy(), uniform.numpy(), out.numpy())
    many = count > MOST
    if many.any():
        out[many] = torch.binomial(count[many], share[many], generator=rng)
    return out
