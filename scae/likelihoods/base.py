"""The base class of likelihoods, its parameters, and shared helpers: links, dispersions, scales, distributions given a total."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.nn.functional import log_softmax, softplus

from ..errors import ConfigError
from ..parts import of_kind
from ..records import Affine, Counts, GeneStatistics
from .posterior import GammaRates, Posterior, Seen, gamma_posterior

GENE, CELL_GENE, SHARED = "gene", "cell×gene", "shared"
GENE_BATCH, CELL = "gene×batch", "cell"


@dataclass(frozen=True)
class Parameters:
    """Raw parameters of a likelihood for some cells, and the exposure to which they refer.

    Attributes
    ----------
    raw
        Parameters by name, ``(cells, genes)``, ``(genes,)``, ``(cells, 1)`` or ``(1,)`` each, on the scale of the read-out layer;
        ``p[name]`` computes a parameter that is a linear function of a hidden layer.
    library
        ``(cells, 1)``, library sizes, counts.
    unit
        Median library size, counts. At this exposure the mean under the ``exp`` and ``softplus`` links is exp or softplus of the
        read-out; at others it is proportional to the library size.
    """

    raw: Mapping[str, Tensor | Affine]
    library: Tensor
    unit: float

    def __getitem__(self, name: str) -> Tensor:
        value = self.raw[name]
        return value.value if isinstance(value, Affine) else value

    def clamped_library(self) -> Tensor:
        """Library size ``(cells, 1)``, so that a cell without counts has an expected count of almost zero."""
        return self.library.clamp_min(1e-6)

    def log_library(self) -> Tensor:
        """Log of the clamped library size, ``(cells, 1)``."""
        return self.clamped_library().log()

    def log_exposure(self) -> Tensor:
        """Log of the library size relative to the median one, ``(cells, 1)``."""
        return self.log_library() - torch.tensor(self.unit).log()


class Likelihood(ABC):
    """A distribution of counts given the decoder's read-outs.

    :meth:`dist` defines it. By default :meth:`nll` is the negative log probability under ``dist``; subclasses override it with a
    faster computation of the same number.
    """

    on_input: bool = False  # it is a distribution of the encoder's input, not of counts
    takes_fractions: bool = False  # counts need not be whole numbers
    of_presence: bool = False  # it is a distribution of presence or absence, so ``mean`` is a probability, not a count
    of_molecules: bool = False  # it is a distribution of molecule counts at an exposure, so ``mean_log1p`` is defined
    of_rates: bool = False  # each molecule count is a Poisson draw of a gamma-distributed rate, so ``rates`` is defined

    @abstractmethod
    def parameters(self) -> dict[str, str]:
        """Names of the raw parameters, the mean's first, each with its axis.

        A ``"cell×gene"`` parameter is a read-out of the decoder. ``"gene"``, ``"gene×batch"`` (per gene without a batch key) and
        ``"shared"`` parameters are free parameters of the model. A ``"cell"`` parameter comes from a separate encoder.
        """

    @abstractmethod
    def start(self, stats: GeneStatistics) -> dict[str, Tensor]:
        """Starting values by name, ``(genes,)``, or ``(1,)`` for a shared parameter; the others start at zero."""

    def start_spread(self, residual: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """Starting values, as in :meth:`start`, from the mean squared residual ``(genes,)`` of means that are not constant."""
        return {}

    @abstractmethod
    def dist(self, p: Parameters) -> Distribution:
        """The distribution, with batch shape ``(cells,)`` and event shape ``(genes,)``."""

    @abstractmethod
    def sample(self, p: Parameters, rng: torch.Generator) -> Tensor:
        """A draw ``(cells, genes)`` from the distribution."""

    def named(self, axis: str) -> tuple[str, ...]:
        """Names of the parameters with this axis."""
        return tuple(name for name, of in self.parameters().items() if of == axis)

    def accepts_fractions(self, of_counts: bool) -> bool:
        """Whether values need not be whole numbers, if the encoder's input is a function of counts or not."""
        return self.takes_fractions or (self.on_input and not of_counts)

    def require_molecules(self, asked: str, otherwise: str = "") -> None:
        """Refuse what only a likelihood of molecules can say.

        Raises
        ------
        ConfigError
            If it is not one; lists those that are.
        """
        if not self.of_molecules:
            able = ", ".join(name for name, cls in of_kind("likelihood").items() if cls.of_molecules)  # type: ignore[attr-defined]
            raise ConfigError(
                f"{asked}, but {self} is not a distribution of molecules; allowed: {able}. Fit one of these{otherwise}."
            )

    def mean(self, p: Parameters) -> Tensor:
        """E[X] ``(cells, genes)``, including zero inflation."""
        return self.dist(p).mean

    def mean_log1p(self, p: Parameters, scale: float) -> Tensor:
        """E[log(1 + scale · X)] ``(cells, genes)``, for likelihoods of molecule counts."""
        raise NotImplementedError(f"{self} is not a likelihood of molecule counts")

    def rates(self, p: Parameters) -> GammaRates | None:  # noqa: ARG002
        """The distribution of the rates of which the counts are Poisson draws; None for other likelihoods."""
        return None

    def posterior(self, p: Parameters, seen: Seen) -> Posterior:
        """The posterior of each cell's own expected counts, given its counts at the same exposure.

        Raises
        ------
        ConfigError
            If it is a likelihood neither of molecules nor of presence.
        """
        rates = self.rates(p)
        if rates is None:
            raise ConfigError(f"{self} is a likelihood neither of molecules nor of presence, so its means have no posterior.")
        return gamma_posterior(rates, seen)

    def observed(self, target: Any) -> Tensor:
        """The dense values ``(cells, genes)`` that ``dist`` scores."""
        return target.dense()

    def nll(self, p: Parameters, target: Any) -> Tensor:
        """Negative log likelihood.

        Parameters
        ----------
        p
            Raw parameters.
        target
            :class:`~scae.records.Counts`, or an :class:`~scae.records.EncoderInput` if ``on_input``.

        Returns
        -------
        Tensor
            ``(cells,)``, nats, summed over genes.
        """
        return -self.dist(p).log_prob(self.observed(target))


# ---- links: log μ at the cell's exposure from a raw read-out (cells, genes), and the read-out's starting value


@dataclass(frozen=True)
class Link:
    """A link function.

    Attributes
    ----------
    log_mean
        From read-outs to log μ.
    exposure
        What a share or a rate is multiplied by, ``(cells, 1)``.
    start
        The read-outs' starting value ``(genes,)``.
    """

    log_mean: Callable[[Tensor, Parameters], Tensor]
    exposure: Callable[[Parameters], Tensor]
    start: Callable[[GeneStatistics], Tensor]


def _log_softplus(raw: Tensor) -> Tensor:
    return torch.where(raw < -15, raw, softplus(raw).clamp_min(1e-30).log())


def _by_unit(p: Parameters) -> Tensor:
    return p.clamped_library() / p.unit


LINKS = {
    "softmax": Link(lambda raw, p: log_softmax(raw, 1) + p.log_library(), Parameters.clamped_library, lambda s: s.share.log()),
    "exp": Link(lambda raw, p: raw.clamp(-30.0, 15.0) + p.log_exposure(), _by_unit, lambda s: s.mean.log()),
    "softplus": Link(
        lambda raw, p: _log_softplus(raw) + p.log_exposure(), _by_unit, lambda s: s.mean + torch.log(-torch.expm1(-s.mean))
    ),
}


# ---- dispersion of a negative binomial, scale of a location-scale family


DISPERSIONS = {"gene": GENE, "gene-cell": CELL_GENE, "gene-batch": GENE_BATCH}
_LOG_THETA = (-13.8, 18.4)  # θ from 1e-6 (almost all zeros) to 1e8 (practically Poisson)
SCALES = {"gene": GENE, "shared": SHARED}
_LOG_SD = (-10.0, 10.0)


def log_theta(p: Parameters) -> Tensor:
    """log θ, clamped to the range in which the kernels are accurate."""
    return p["dispersion"].clamp(*_LOG_THETA)


def gamma_poisson(mu: Tensor, theta: Tensor, rng: torch.Generator) -> Tensor:
    """A draw from NB(μ, θ): Poisson with a gamma-distributed rate."""
    concentration = theta.expand_as(mu).contiguous()
    rate = torch._standard_gamma(concentration, generator=rng) * (mu / concentration)
    return torch.poisson(rate, generator=rng)


def log_sd(p: Parameters) -> Tensor:
    """Log standard deviation, clamped to avoid overflow."""
    return p["log_sd"].clamp(*_LOG_SD)


def log_sd_of(residual: Tensor, axis: str) -> Tensor:
    """Log of the root mean squared residual, of each gene or shared, from mean squared residuals ``(genes,)``."""
    mean = residual if axis == GENE else residual.mean(0, keepdim=True)
    return (mean.log() / 2).clamp(*_LOG_SD)


# ---- distributions of counts given their total


class GivenTotal(Distribution):
    """A distribution of counts given each cell's total.

    ``log_prob`` conditions on the total of its argument; ``mean`` refers to ``total``.

    Parameters
    ----------
    total
        ``(cells, 1)``, counts.
    logits
        ``(cells, genes)``; their softmax is the expected share of each gene.
    log_prob_given
        Log probability ``(cells,)`` from counts and log shares, without the multinomial coefficient.
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
    """Sum of a value ``(nnz,)`` per stored count over each cell, ``(cells,)``."""
    return value.new_zeros(len(counts)).index_add(0, counts.cell, value)


def whole(total: Tensor, rng: torch.Generator) -> Tensor:
    """Stochastic rounding: whole numbers whose expectation is ``total``."""
    return (total + torch.rand(total.shape, generator=rng, device=total.device, dtype=total.dtype)).floor()
