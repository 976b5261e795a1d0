"""Corruptions of the encoder's input during training; the likelihood always scores the observed counts."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from . import threads
from .errors import ConfigError
from .kernels import thin as kernels
from .parts import option, part
from .records import Counts, EncoderInput


class Corruption(ABC):
    """A random copy of some cells' counts."""

    hides: bool = False  # it marks genes as hidden: the model then learns a value per hidden gene, and a query may lack genes

    @abstractmethod
    def __call__(self, counts: Counts, rng: torch.Generator) -> EncoderInput:
        """A corrupted copy of some cells' counts, for the encoder.

        Parameters
        ----------
        counts
            The observed counts.
        rng
            Source of all random draws.

        Returns
        -------
        EncoderInput
            The same cells and stored genes with other values, or with ``hidden`` or ``noise_sd`` set.
        """


@part("corruption", "none")
class NoCorruption(Corruption):
    """No corruption: the encoder sees the observed counts."""

    def __call__(self, counts: Counts, rng: torch.Generator) -> EncoderInput:
        return EncoderInput(counts)


@part("corruption", "masking")
class Masking(Corruption):
    """Sets each nonzero count to zero with a fixed probability (Vincent 2008, doi:10.1145/1390156.1390294)."""

    share: float = option("probability with which a nonzero count is set to zero", default=0.2, low=0.0, high=1.0)

    def __call__(self, counts: Counts, rng: torch.Generator) -> EncoderInput:
        kept = torch.rand(counts.value.shape, generator=rng, device=counts.value.device) >= self.share
        return EncoderInput(counts.with_value(counts.value * kept))


@part("corruption", "thinning")
class Thinning(Corruption):
    """Binomial thinning: keeps a random share of each cell's molecules, as shallower sequencing would (Batson 2019).

    For each cell the share is drawn uniformly between ``low`` and ``high``, so the encoder sees many sequencing depths. Each
    molecule of the cell is then kept with that probability, which mimics the sampling noise of sequencing itself.

    Raises
    ------
    ConfigError
        If ``low`` is above ``high``.
    """

    low: float = option("smallest share of molecules kept", default=0.3, low=0.0, high=1.0)
    high: float = option("largest share of molecules kept", default=0.9, low=0.0, high=1.0)

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ConfigError(f"corruption 'thinning': low is {self.low} above high {self.high}; allowed: low ≤ high.")

    def __call__(self, counts: Counts, rng: torch.Generator) -> EncoderInput:
        drawn = torch.rand(len(counts), generator=rng, device=counts.value.device, dtype=counts.value.dtype)
        return EncoderInput(counts.with_value(thinned(counts, self.low + (self.high - self.low) * drawn, rng)))


@part("corruption", "gaussian")
class GaussianNoise(Corruption):
    """Adds Gaussian noise to every gene of the encoder's input, zeros included (Vincent 2010).

    With an identity transform and squared error, the trained model estimates the score of the noisy data x̃: the reconstruction
    r satisfies (r(x̃) − x̃)/sd² ≈ ∇ log p(x̃) (Vincent 2011, doi:10.1162/NECO_a_00142; Alain & Bengio 2014). Counts stay sparse:
    the noise is added to the output of the encoder's first layer, where its distribution is known exactly.
    """

    sd: float = option("standard deviation of the noise, in units of the encoder's input", default=0.5, low=0.0)

    def __call__(self, counts: Counts, rng: torch.Generator) -> EncoderInput:
        return EncoderInput(counts, noise_sd=self.sd)


@part("corruption", "gene_dropout")
class GeneDropout(Corruption):
    """Hides random genes from the encoder and replaces each by a learned value (Devlin 2019).

    The learned value acts as a mask token (doi:10.18653/v1/N19-1423). A model fitted this way can be applied to data that lack
    some of its genes: missing genes are treated as hidden, not as zero counts.
    """

    share: float = option("probability with which a gene is hidden in a minibatch", default=0.2, low=0.0, high=1.0)
    hides = True

    def __call__(self, counts: Counts, rng: torch.Generator) -> EncoderInput:
        return EncoderInput(counts, hidden=torch.rand(counts.n_genes, generator=rng, device=counts.value.device) < self.share)


def thinned(counts: Counts, share: Tensor, rng: torch.Generator) -> Tensor:
    """Binomial draws, with each cell's probability, from its counts.

    Parameters
    ----------
    counts
        The counts; the fractional part of quasi-counts is multiplied by the share, its expectation.
    share
        ``(cells,)``, probabilities that a molecule is kept.
    rng
        Source of all random draws.

    Returns
    -------
    Tensor
        ``(nnz,)``, molecules kept.
    """
    value = counts.value
    if value.device.type != "cpu":
        whole, share = value.floor(), share[counts.cell]
        return torch.binomial(whole, share, generator=rng) + (value - whole) * share
    uniform, out = torch.rand(value.shape, generator=rng, dtype=value.dtype), torch.empty_like(value)
    arrays = (t.numpy() for t in (counts.indptr, value, share, uniform, out))
    threads.run(kernels.thinned, len(counts), *arrays, work=value.shape[0])
    many = value >= kernels.MOST + 1
    if many.any():
        whole, share = value[many].floor(), share[counts.cell[many]]
        out[many] = torch.binomial(whole, share, generator=rng) + (value[many] - whole) * share
    return out
