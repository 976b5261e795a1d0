"""What a likelihood is, what it reads, and what likelihoods share: links, dispersions, scales, distributions given a total."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.nn.functional import log_softmax, softplus

from ..records import Counts, GeneStatistics

GENE, CELL_GENE, SHARED = "gene", "cell×gene", "shared"
GENE_BATCH, CELL = "gene×batch", "cell"


@dataclass(frozen=True)
class Parameters:
    """The raw parameters of some cells by name, and the exposure to which they refer.

    Attributes
    ----------
    raw
        ``(cells, genes)``, ``(genes,)``, ``(cells, 1)`` or ``(1,)`` each, on the scale of the read-out layer.
    library
        ``(cells, 1)``, counts.
    unit
        Median library size, counts: the exposure at which the ``exp`` and ``softplus`` links give the mean itself.
    """

    raw: Mapping[str, Tensor]
    library: Tensor
    unit: float

    def __getitem__(self, name: str) -> Tensor:
        return self.raw[name]

    def log_library(self) -> Tensor:
        """``(cells, 1)``; a cell without counts has an expected count of nearly zero, not of log 0."""
        return self.library.clamp_min(1e-6).log()

    def log_exposure(self) -> Tensor:
        """``(cells, 1)``, log of the library size in units of the median one."""
        return self.log_library() - torch.tensor(self.unit).log()


class Likelihood(ABC):
    """A distribution of counts given a decoder's read-outs.

    ``dist`` is the definition. ``nll`` is by default its negative log probability; an override is the same number, faster.
    """

    on_input: bool = False  # the target is the encoder's input, not the counts
    takes_fractions: bool = False  # counts need not be whole
    of_molecules: bool = False  # it is a distribution of molecules seen at an exposure, so it has a ``mean_log1p``

    @abstractmethod
    def parameters(self) -> dict[str, str]:
        """The raw parameters by name, the mean's first, and their axes.

        A parameter per ``"cell×gene"`` is a read-out of the decoder. Those per ``"gene"`` and per ``"gene×batch"`` (per gene
        without a batch key) and a ``"shared"`` one are free. A parameter per ``"cell"`` is given by an encoder of its own.
        """

    @abstractmethod
    def start(self, stats: GeneStatistics) -> dict[str, Tensor]:
        """Starting values, ``(genes,)``, or ``(1,)`` for a shared parameter; a parameter left out starts at zero."""

    @abstractmethod
    def dist(self, p: Parameters) -> Distribution:
        """The distribution: batch ``(cells,)``, event ``(genes,)``."""

    @abstractmethod
    def sample(self, p: Parameters, rng: torch.Generator) -> Tensor:
        """A draw, ``(cells, genes)``."""

    def named(self, axis: str) -> tuple[str, ...]:
        """The names of the parameters with these axes."""
        return tuple(name for name, of in self.parameters().items() if of == axis)

    def mean(self, p: Parameters) -> Tensor:
        """E[X], ``(cells, genes)``, zero inflation included."""
        return self.dist(p).mean

    def mean_log1p(self, p: Parameters, scale: float) -> Tensor:
        """E[log(1 + scale · X)], ``(cells, genes)``, for a likelihood of molecules."""
        raise NotImplementedError(f"{self} is not a likelihood of molecules")

    def observed(self, target: Any) -> Tensor:
        """``(cells, genes)``, the values whose probability counts."""
        return target.dense()

    def nll(self, p: Parameters, target: Any) -> Tensor:
        """−log probability, ``(cells,)`` nats, of :class:`Counts`, or of an ``EncoderInput`` where ``on_input``."""
        return -self.dist(p).log_prob(self.observed(target))


# ---- links: from a raw read-out (cells, genes) to log μ at the cell's exposure, and the raw value to start from


@dataclass(frozen=True)
class Link:
    """A link function."""

    log_mean: Callable[[Tensor, Parameters], Tensor]
    start: Callable[[GeneStatistics], Tensor]


def _log_softplus(raw: Tensor) -> Tensor:
    return torch.where(raw < -15, raw, softplus(raw).clamp_min(1e-30).log())


LINKS = {
    "softmax": Link(lambda raw, p: log_softmax(raw, 1) + p.log_library(), lambda s: s.share.log()),
    "exp": Link(lambda raw, p: raw.clamp(-30.0, 15.0) + p.log_exposure(), lambda s: s.mean.log()),
    "softplus": Link(lambda raw, p: _log_softplus(raw) + p.log_exposure(), lambda s: s.mean + torch.log(-torch.expm1(-s.mean))),
}


# ---- the dispersion of a negative binomial, the scale of a location family


DISPERSIONS = {"gene": GENE, "gene-cell": CELL_GENE, "gene-batch": GENE_BATCH}
_LOG_THETA = (-13.8, 18.4)  # θ from 1e-6 (all zeros, rare bursts) to 1e8 (Poisson to every digit that counts have)
SCALES = {"gene": GENE, "shared": SHARED}


def log_theta(p: Parameters) -> Tensor:
    """log θ within the range in which the kernels are exact."""
    return p["dispersion"].clamp(*_LOG_THETA)


def gamma_poisson(mu: Tensor, theta: Tensor, rng: torch.Generator) -> Tensor:
    """A draw from NB(μ, θ): a Poisson with a gamma rate."""
    concentration = theta.expand_as(mu).contiguous()
    rate = torch._standard_gamma(concentration, generator=rng) * (mu / concentration)
    return torch.poisson(rate, generator=rng)


def log_sd(p: Parameters) -> Tensor:
    """log of the standard deviation within the range of floats."""
    return p["log_sd"].clamp(-10.0, 10.0)


# ---- distributions of counts given their total


class GivenTotal(Distribution):
    """Counts given their total, which may differ between cells: ``log_prob`` takes the total of its value.

    ``mean`` and draws refer to ``total`` ``(cells, 1)``; ``logits`` are ``(cells, genes)``.
    """

    arg_constraints = {}  # noqa: RUF012
    support = constraints.nonnegative_integer

    def __init__(self, total: Tensor, logits: Tensor, log_prob_given: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.total, self.log_share, self.log_prob_given = total, log_softmax(logits, 1), log_prob_given
        super().__init__(logits.shape[:1], logits.shape[1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.total * self.log_share.exp()

    def log_prob(self, value: Tensor) -> Tensor:
        n = value.sum(1)
        return torch.lgamma(n + 1) - torch.lgamma(value + 1).sum(1) + self.log_prob_given(value, self.log_share)


def by_cell(value: Tensor, counts: Counts) -> Tensor:
    """Sums ``(cells,)`` of a number per stored entry."""
    return value.new_zeros(len(counts)).index_add(0, counts.cell, value)


def whole(total: Tensor, rng: torch.Generator) -> Tensor:
    """Random whole numbers whose mean is ``total``: rounded up with the probability of the fraction."""
    return (total + torch.rand(total.shape, generator=rng, device=total.device, dtype=total.dtype)).floor()
