"""Negative binomial: counts with variance μ + μ²/θ."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, NegativeBinomial

from ..batch import CountBatch, GeneStatistics
from ..ops.log_mean import mean_log1p
from ..ops.nb import nb_nll
from ..parts import option, part
from .base import CELL_GENE, GENE, GENE_BATCH, LINKS, Likelihood, Parameters, gamma_poisson

DISPERSIONS = {"gene": GENE, "gene-cell": CELL_GENE, "gene-batch": GENE_BATCH}
_LOG_THETA = (-13.8, 18.4)  # θ from 1e-6 (all zeros, rare bursts) to 1e8 (Poisson to every digit that counts have)


def log_theta(p: Parameters) -> Tensor:
    """log θ within the range in which the kernels are exact."""
    return p["dispersion"].clamp(*_LOG_THETA)


@part("likelihood", "nb")
class NB(Likelihood):
    """Negative binomial counts; dispersion a gene, a cell and gene (Eraslan 2019), or a batch and gene (Lopez 2018)."""

    of_molecules = True
    link: str = option("from read-out to expected count", default="softmax", choices=tuple(LINKS))
    dispersion: str = option("what has a dispersion of its own", default="gene", choices=tuple(DISPERSIONS))

    def parameters(self) -> dict[str, str]:
        return {"mean": CELL_GENE, "dispersion": DISPERSIONS[self.dispersion]}

    def start(self, stats: GeneStatistics) -> dict[str, Tensor]:
        return {"mean": LINKS[self.link].start(stats), "dispersion": torch.ones_like(stats.share)}

    def log_mean(self, p: Parameters) -> Tensor:
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

    def nll(self, p: Parameters, batch: CountBatch) -> Tensor:
        return nb_nll(self.log_mean(p), log_theta(p), batch)
