"""Zero-inflated negative binomial: a mixture of a negative binomial and extra zeros."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, NegativeBinomial, constraints
from torch.nn.functional import logsigmoid

from ..ops import fused
from ..ops.log_mean import mean_log1p
from ..ops.zinb import zinb_nll
from ..parts import option, part
from ..records import Counts, GeneStatistics
from .base import CELL_GENE, DISPERSIONS, LINKS, Likelihood, Parameters, gamma_poisson, log_theta
from .posterior import GammaRates


class ZeroInflated(Distribution):
    """A mixture of a count distribution and a point mass at zero with logit weight ``zero_logits``."""

    arg_constraints = {}  # noqa: RUF012
    support = constraints.nonnegative_integer

    def __init__(self, counts: Distribution, zero_logits: Tensor) -> None:
        self.counts, self.zero_logits = counts, zero_logits
        super().__init__(zero_logits.shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.counts.mean * torch.sigmoid(-self.zero_logits)

    @property
    def variance(self) -> Tensor:
        counted = torch.sigmoid(-self.zero_logits)
        return counted * (self.counts.variance + (1 - counted) * self.counts.mean**2)

    def log_prob(self, value: Tensor) -> Tensor:
        counted = self.counts.log_prob(value) + logsigmoid(-self.zero_logits)
        return torch.where(value == 0, torch.logaddexp(counted, logsigmoid(self.zero_logits)), counted)


@part("likelihood", "zinb")
class ZINB(Likelihood):
    """Zero-inflated negative binomial (Eraslan 2019; Lopez 2018); dispersions as in ``nb``."""

    of_molecules = True
    of_rates = True
    link: str = option("link from read-out to expected count", default="softmax", choices=tuple(LINKS))
    dispersion: str = option(
        "one dispersion per gene, per cell and gene, or per batch and gene", default="gene", choices=tuple(DISPERSIONS)
    )

    def parameters(self) -> dict[str, str]:
        return {"mean": CELL_GENE, "dispersion": DISPERSIONS[self.dispersion], "zero": CELL_GENE}

    def start(self, stats: GeneStatistics) -> dict[str, Tensor]:
        one = torch.ones_like(stats.share)
        return {"mean": LINKS[self.link].start(stats), "dispersion": one, "zero": -3 * one}

    def dist(self, p: Parameters) -> Distribution:
        theta = log_theta(p)
        log_mu = LINKS[self.link].log_mean(p["mean"], p)
        counts = NegativeBinomial(theta.exp(), logits=log_mu - theta, validate_args=False)
        return Independent(ZeroInflated(counts, p["zero"]), 1)

    def sample(self, p: Parameters, rng: torch.Generator) -> Tensor:
        mu = LINKS[self.link].log_mean(p["mean"], p).exp()
        counted = torch.bernoulli(torch.sigmoid(-p["zero"]), generator=rng)
        return gamma_poisson(mu, log_theta(p).exp(), rng) * counted

    def mean_log1p(self, p: Parameters, scale: float) -> Tensor:
        mu = LINKS[self.link].log_mean(p["mean"], p).exp()
        return mean_log1p(mu, log_theta(p).exp(), scale) * torch.sigmoid(-p["zero"])

    def rates(self, p: Parameters) -> GammaRates:
        return GammaRates(LINKS[self.link].log_mean(p["mean"], p).exp(), log_theta(p).exp(), torch.sigmoid(-p["zero"]))

    def nll(self, p: Parameters, target: Counts) -> Tensor:
        if fused.takes(p.raw["mean"], p.raw["zero"]):
            return fused.zinb(p.raw["mean"], p.raw["zero"], self.link, LINKS[self.link].exposure(p), log_theta(p), target)
        return zinb_nll(LINKS[self.link].log_mean(p["mean"], p), log_theta(p), p["zero"], target)
