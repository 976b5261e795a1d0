"""What a likelihood is, what it reads, and the links from a read-out to an expected count."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn.functional import log_softmax, softplus

from ..batch import CountBatch, GeneStatistics
from ..layers import Readout

GENE, CELL_GENE, SHARED = "gene", "cell×gene", "shared"
GENE_BATCH, CELL = "gene×covariate", "cell"


@dataclass(frozen=True)
class Parameters:
    """What a decoder says of some cells: raw parameters by name, and the exposure that they refer to."""

    raw: Mapping[str, Readout | Tensor]
    # read-outs stand for (cells, genes); tensors are (genes,), (1,), (cells, 1), or (cells, genes): each cell its batch's row
    library: Tensor  # (cells, 1), counts
    unit: float  # median library, the exposure at which the exp and softplus links mean what they read

    def __getitem__(self, name: str) -> Tensor:
        value = self.raw[name]
        return value.full() if isinstance(value, Readout) else value

    def log_library(self) -> Tensor:
        """``(cells, 1)``; a cell without counts has an expected count of nearly nothing, not of log 0."""
        return self.library.clamp_min(1e-6).log()


@dataclass(frozen=True)
class Link:
    """From a raw read-out ``(cells, genes)`` to log μ at the cell's exposure, and the raw value to start from."""

    log_mean: Callable[[Tensor, Parameters], Tensor]
    start: Callable[[GeneStatistics], Tensor]


def _log_softplus(raw: Tensor) -> Tensor:
    return torch.where(raw < -15, raw, softplus(raw).clamp_min(1e-30).log())


LINKS = {
    "softmax": Link(lambda raw, p: log_softmax(raw, 1) + p.log_library(), lambda s: s.share.log()),
    "exp": Link(lambda raw, p: raw.clamp(-30.0, 15.0) + (p.log_library() - torch.tensor(p.unit).log()), lambda s: s.mean.log()),
    "softplus": Link(
        lambda raw, p: _log_softplus(raw) + (p.log_library() - torch.tensor(p.unit).log()),
        lambda s: s.mean + torch.log(-torch.expm1(-s.mean)),
    ),
}


class Likelihood(ABC):
    """A distribution of counts given a decoder's read-outs.

    ``dist`` is the definition. ``nll`` is by default its negative log probability; an override is the same number, faster.
    """

    on_input: bool = False  # the target is the transformed input, not the counts
    takes_fractions: bool = False  # counts need not be whole
    of_molecules: bool = False  # it says how many molecules are seen at an exposure, so that it has a ``mean_log1p``

    @abstractmethod
    def parameters(self) -> dict[str, str]:
        """The raw parameters by name, the mean's first, and what has one of its own.

        ``"cell×gene"`` is a read-out of the decoder; ``"gene"``, ``"gene×covariate"`` (a gene and level of the batch key; a gene
        where there is no batch key) and ``"shared"`` are free; ``"cell"`` is the output of an encoder of its own.
        """

    @abstractmethod
    def start(self, stats: GeneStatistics) -> dict[str, Tensor]:
        """Values to start from, ``(genes,)``, or ``(1,)`` for a shared one; a parameter left out starts at zero."""

    @abstractmethod
    def dist(self, p: Parameters) -> Distribution:
        """The distribution: batch ``(cells,)``, event ``(genes,)``."""

    @abstractmethod
    def sample(self, p: Parameters, rng: torch.Generator) -> Tensor:
        """A draw, ``(cells, genes)``."""

    def mean(self, p: Parameters) -> Tensor:
        """E[X], ``(cells, genes)``, zero inflation included."""
        return self.dist(p).mean

    def mean_log1p(self, p: Parameters, scale: float) -> Tensor:
        """E[log(1 + scale · X)], ``(cells, genes)``, of a likelihood of molecules."""
        raise NotImplementedError(f"{self} is not a likelihood of molecules")

    def target(self, batch: CountBatch) -> CountBatch:
        """What is scored of a batch: the counts, unless a likelihood says otherwise."""
        return batch

    def nll(self, p: Parameters, batch: CountBatch) -> Tensor:
        """−log probability of the batch, ``(cells,)`` nats."""
        return -self.dist(p).log_prob(self.target(batch).dense())


def gamma_poisson(mu: Tensor, theta: Tensor, rng: torch.Generator) -> Tensor:
    """A draw from NB(μ, θ): a Poisson whose rate is Gamma."""
    concentration = theta.expand_as(mu).contiguous()
    rate = torch._standard_gamma(concentration, generator=rng) * (mu / concentration)
    return torch.poisson(rate, generator=rng)
