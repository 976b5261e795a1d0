"""Poisson: counts with variance μ."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent
from torch.distributions import Poisson as TorchPoisson

from ..ops import fused
from ..ops.log_mean import mean_log1p
from ..ops.poisson import poisson_nll
from ..parts import option, part
from ..records import Counts, GeneStatistics
from .base import CELL_GENE, LINKS, Likelihood, Parameters
from .posterior import GammaRates


@part("likelihood", "poisson")
class Poisson(Likelihood):
    """Poisson counts (Eraslan 2019; on why Poisson often suffices see Townes 2019)."""

    of_molecules = True
    of_rates = True
    link: str = option("link from read-out to expected count", default="softmax", choices=tuple(LINKS))

    def parameters(self) -> dict[str, str]:
        return {"mean": CELL_GENE}

    def start(self, stats: GeneStatistics) -> dict[str, Tensor]:
        return {"mean": LINKS[self.link].start(stats)}

    def log_mean(self, p: Parameters) -> Tensor:
        """Log expected counts, ``(cells, genes)``."""
        return LINKS[self.link].log_mean(p["mean"], p)

    def dist(self, p: Parameters) -> Distribution:
        return Independent(TorchPoisson(self.log_mean(p).exp(), validate_args=False), 1)

    def sample(self, p: Parameters, rng: torch.Generator) -> Tensor:
        return torch.poisson(self.mean(p), generator=rng)

    def mean_log1p(self, p: Parameters, scale: float) -> Tensor:
        return mean_log1p(self.log_mean(p).exp(), None, scale)

    def rates(self, p: Parameters) -> GammaRates:
        return GammaRates(self.mean(p))

    def nll(self, p: Parameters, target: Counts) -> Tensor:
        if fused.takes(p.raw["mean"]):
            return fused.poisson(p.raw["mean"], self.link, LINKS[self.link].exposure(p), target)
        return poisson_nll(self.log_mean(p), target)
