"""Multinomial: how a cell's molecules, given their total, are distributed over genes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn.functional import log_softmax

from ..ops import fused
from ..ops.log_mean import mean_log1p
from ..ops.multinomial import multinomial
from ..parts import part
from ..records import Counts, GeneStatistics
from .base import CELL_GENE, LINKS, GivenTotal, Likelihood, Parameters, by_cell, whole
from .posterior import GammaRates


@part("likelihood", "multinomial")
class Multinomial(Likelihood):
    """Multinomial counts given each cell's total (Townes 2019, doi:10.1186/s13059-019-1861-6).

    The likelihood is that of a cell's counts given their total. Means and draws refer to the library size, which equals that
    total unless a size factor is used.
    """

    of_molecules = True
    of_rates = True

    def parameters(self) -> dict[str, str]:
        return {"mean": CELL_GENE}

    def start(self, stats: GeneStatistics) -> dict[str, Tensor]:
        return {"mean": LINKS["softmax"].start(stats)}

    def dist(self, p: Parameters) -> Distribution:
        return GivenTotal(p.library, p["mean"], lambda value, log_share: (value * log_share).sum(1))

    def sample(self, p: Parameters, rng: torch.Generator) -> Tensor:
        return multinomial(whole(p.library[:, 0], rng), log_softmax(p["mean"], 1).exp(), rng)

    def mean_log1p(self, p: Parameters, scale: float) -> Tensor:
        total = p.library.round()
        minus_n = -total.expand_as(p["mean"])  # a binomial is a negative binomial with θ = −n
        return mean_log1p(log_softmax(p["mean"], 1).exp() * total, minus_n, scale)

    def rates(self, p: Parameters) -> GammaRates:
        return GammaRates(self.dist(p).mean)

    def nll(self, p: Parameters, target: Counts) -> Tensor:
        if fused.takes(p.raw["mean"]):
            return fused.multinomial(p.raw["mean"], target)
        logits = p["mean"]
        hit = target.value * logits[target.cell, target.gene] - torch.lgamma(target.value + 1)
        total = target.totals()[:, 0]
        return total * torch.logsumexp(logits, 1) - torch.lgamma(total + 1) - by_cell(hit, target)
