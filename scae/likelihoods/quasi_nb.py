"""Quasi negative binomial: the NB's cost at counts that need not be whole."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution

from ..batch import CountBatch, GeneStatistics
from ..parts import option, part
from .base import LINKS, Likelihood, Parameters
from .nb import DISPERSIONS, NB


@part("likelihood", "quasi_nb")
class QuasiNB(Likelihood):
    """Negative binomial cost of counts that need not be whole, as after a correction for ambient RNA (Wedderburn 1974).

    Factorials are read as gamma functions: at whole counts it is the NB, between them a smooth cost, no longer a probability
    (doi:10.1093/biomet/61.3.439 for why such a quasi-likelihood will do). Draws are whole.
    """

    of_molecules = True
    takes_fractions = True
    link: str = option("from read-out to expected count", default="softmax", choices=tuple(LINKS))
    dispersion: str = option("what has a dispersion of its own", default="gene", choices=tuple(DISPERSIONS))

    @property
    def _whole(self) -> NB:
        return NB(self.link, self.dispersion)

    def parameters(self) -> dict[str, str]:
        return self._whole.parameters()

    def start(self, stats: GeneStatistics) -> dict[str, Tensor]:
        return self._whole.start(stats)

    def dist(self, p: Parameters) -> Distribution:
        return self._whole.dist(p)

    def mean(self, p: Parameters) -> Tensor:
        return self._whole.mean(p)

    def sample(self, p: Parameters, rng: torch.Generator) -> Tensor:
        return self._whole.sample(p, rng)

    def mean_log1p(self, p: Parameters, scale: float) -> Tensor:
        return self._whole.mean_log1p(p, scale)

    def nll(self, p: Parameters, batch: CountBatch) -> Tensor:
        return self._whole.nll(p, batch)
