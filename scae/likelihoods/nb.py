"""Negative binomial: counts with variance μ + μ²/θ."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, NegativeBinomial

from ..ops import fused
from ..ops.log_mean import mean_log1p
from ..ops.nb import nb_nll
from ..parts import option, part
from ..records import Counts, GeneStatistics
from .base import CELL_GENE, DISPERSIONS, LINKS, Likelihood, Parameters, gamma_poisson, log_theta
from .posterior import GammaRates


@part("likelihood", "nb")
class NB(Likelihood):
    """Negative binomial; one dispersion per gene, per cell and gene (Eraslan 2019) or per batch and gene (Lopez 2018)."""

    of_molecules = True
    of_rates = True
    link: str = option("link from read-out to expected count", default="softmax", choices=tuple(LINKS))
    dispersion: str = option(
        "one dispersion per gene, per cell and gene, or per batch and gene", default="gene", choices=tuple(DISPERSIONS)
    )

    def parameters(self) -> dict[str, str]:
        return {"mean": CELL_GENE, "dispersion": DISPERSIONS[self.dispersion]}

    def start(self, stats: GeneStatistics) -> dict[str, Tensor]:
        return {"mean": LINKS[self.link].start(stats), "dispersion": torch.ones_like(stats.share)}

    def log_mean(self, p: Parameters) -> Tensor:
        """Log expected counts, ``(cells, genes)``."""
        return LINKS[self.link].log_mean(p["mean"], p)

    def dist(self, p: Parameters) -> Distribution:
        theta = log_theta(p)
        return Independent(NegativeBinomial(theta.exp(), logits=self.log_mean(p) - theta, validate_args=False), 1)

    def mean(self, p: Parameters) -> Tensor:
        return self.log_mean(p).exp()

    def sample(self, p: Parameters, rng: torch.Generator) -> Tensor:
        return gamma_poisson(self.mean(p), log_theta(p).exp(), rng)

    def mean_log1p(self, p: Parameters, scale: float) -> Tensor:
        return mean_log1p(self.log_mean(p).exp(), log_theta(p).exp(), scale)

    def rates(self, p: Parameters) -> GammaRates:
        return GammaRates(self.mean(p), log_theta(p).exp())

    def nll(self, p: Parameters, target: Counts) -> Tensor:
        if fused.takes(p.raw["mean"]):
            return fused.nb(p.raw["mean"], self.link, LINKS[self.link].exposure(p), log_theta(p), target)
        return nb_nll(self.log_mean(p), log_theta(p), target)


@part("likelihood", "quasi_nb")
class QuasiNB(NB):
    """Negative binomial quasi-likelihood for fractional counts, e.g. after ambient RNA correction (Wedderburn 1974).

    Factorials are replaced by gamma functions. For whole counts this is the negative binomial; for fractional counts it is no
    longer a probability (on quasi-likelihoods see doi:10.1093/biomet/61.3.439). Draws are whole numbers.
    """

    takes_fractions = True
