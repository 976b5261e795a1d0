"""Bernoulli: a feature is present or absent."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Distribution, Independent
from torch.nn.functional import logsigmoid

from ..ops.bernoulli import bernoulli_nll, probability_nll
from ..ops.poisson import presence_nll
from ..parts import option, part
from ..records import Counts, GeneStatistics
from .base import CELL, CELL_GENE, GENE, Likelihood, Parameters


@part("likelihood", "bernoulli")
class Bernoulli(Likelihood):
    """Presence or absence of each feature, as of open chromatin (Ashuach 2022, doi:10.1016/j.crmeth.2022.100182).

    A probability is a product of up to three factors: what the decoder says of the cell and feature, what a cell of that depth
    would show, and what is seen of that feature at all. A ``learned`` depth is the output of an encoder of its own, so that the
    latent is free of it. With depth ``library`` molecules are Poisson at the exposure λ and the decoder says their rate:
    p = 1 − exp(−rate · λ), which is a known depth's effect without a parameter.
    """

    depth: str = option("a cell's depth", default="none", choices=("none", "library", "learned"))
    bias: bool = option("each feature has a factor of its own", default=False)

    def parameters(self) -> dict[str, str]:
        cell = {"depth": CELL} if self.depth == "learned" else {}
        return {"mean": CELL_GENE, **cell, **({"bias": GENE} if self.bias else {})}

    def start(self, stats: GeneStatistics) -> dict[str, Tensor]:
        halves = 2.0 ** ((self.depth == "learned") + self.bias)  # each further factor starts at one half, as in PeakVI
        detected = (stats.detected * halves).clamp_max(0.95)
        return {"mean": torch.log(-torch.log1p(-detected)) if self.depth == "library" else torch.logit(detected)}

    def logit(self, p: Parameters) -> Tensor:
        """``(cells, genes)``, logit of the probability."""
        if self.depth == "none" and not self.bias:
            return p["mean"]
        if self.depth == "library" and not self.bias:
            rate = self.log_rate(p).exp()
            return torch.log(-torch.expm1(-rate)) + rate
        log_p = self.log_p(p)
        return log_p - torch.log(-torch.expm1(log_p))

    def log_p(self, p: Parameters) -> Tensor:
        """``(cells, genes)``, log of a probability of two factors or three."""
        by_depth = self.depth == "library"
        log_p = torch.log(-torch.expm1(-self.log_rate(p).exp())) if by_depth else logsigmoid(p["mean"])
        if self.depth == "learned":
            log_p = log_p + logsigmoid(p["depth"])
        if self.bias:
            log_p = log_p + logsigmoid(p["bias"])
        return log_p.clamp_max(-1e-6)

    def log_rate(self, p: Parameters) -> Tensor:
        """``(cells, genes)``, log of the molecules expected at a cell's own depth; for depth ``library``."""
        return (p["mean"] + p.log_library() - math.log(p.unit)).clamp(-30.0, 30.0)

    def dist(self, p: Parameters) -> Distribution:
        return Independent(TorchBernoulli(logits=self.logit(p), validate_args=False), 1)

    def sample(self, p: Parameters, rng: torch.Generator) -> Tensor:
        return torch.bernoulli(self.mean(p), generator=rng)

    def nll(self, p: Parameters, target: Counts) -> Tensor:
        if self.depth == "library" and not self.bias:
            return presence_nll(self.log_rate(p), target)
        if self.depth == "none" and not self.bias:
            return bernoulli_nll(p["mean"], target)
        return probability_nll(self.log_p(p), target)

    def observed(self, target: Counts) -> Tensor:
        return (target.dense() > 0).to(target.value.dtype)
