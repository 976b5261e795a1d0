"""Bernoulli: presence or absence of a feature."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Distribution, Independent
from torch.nn.functional import logsigmoid

from ..ops import fused
from ..ops.bernoulli import bernoulli_nll, probability_nll
from ..ops.poisson import presence_nll
from ..parts import option, part
from ..records import Counts, GeneStatistics
from .base import CELL, CELL_GENE, GENE, Likelihood, Parameters
from .posterior import Posterior, Seen


@part("likelihood", "bernoulli")
class Bernoulli(Likelihood):
    """Presence or absence of each feature, such as open chromatin (Ashuach 2022, doi:10.1016/j.crmeth.2022.100182).

    The probability of presence is a product of up to three factors: the decoder's output for cell and feature, a factor for the
    cell's sequencing depth, and a factor for the feature (``bias``). With ``depth="learned"`` the cell's factor comes from a
    separate encoder, so the latent need not encode it. With ``depth="library"`` molecules are Poisson with mean rate · λ, where
    the rate is the decoder's output and λ the cell's relative library size: p = 1 − exp(−rate · λ). No factor is learned.
    """

    of_presence = True
    depth: str = option("how a cell's sequencing depth enters", default="none", choices=("none", "library", "learned"))
    bias: bool = option("learn a factor per feature", default=False)

    def parameters(self) -> dict[str, str]:
        cell = {"depth": CELL} if self.depth == "learned" else {}
        return {"mean": CELL_GENE, **cell, **({"bias": GENE} if self.bias else {})}

    def start(self, stats: GeneStatistics) -> dict[str, Tensor]:
        halves = 2.0 ** ((self.depth == "learned") + self.bias)  # each additional factor starts at one half, as in PeakVI
        detected = (stats.detected * halves).clamp_max(0.95)
        return {"mean": torch.log(-torch.log1p(-detected)) if self.depth == "library" else torch.logit(detected)}

    def logit(self, p: Parameters) -> Tensor:
        """Logit of the probability of presence, ``(cells, genes)``."""
        if self.depth == "none" and not self.bias:
            return p["mean"]
        if self.depth == "library" and not self.bias:
            rate = self.log_rate(p).exp()
            return torch.log(-torch.expm1(-rate)) + rate
        log_p = self.log_p(p)
        return log_p - torch.log(-torch.expm1(log_p))

    def log_p(self, p: Parameters) -> Tensor:
        """Log probability of presence, ``(cells, genes)``, from all factors; clamped below zero."""
        by_depth = self.depth == "library"
        log_p = torch.log(-torch.expm1(-self.log_rate(p).exp())) if by_depth else logsigmoid(p["mean"])
        if self.depth == "learned":
            log_p = log_p + logsigmoid(p["depth"])
        if self.bias:
            log_p = log_p + logsigmoid(p["bias"])
        return log_p.clamp_max(-1e-6)

    def log_rate(self, p: Parameters) -> Tensor:
        """Log expected molecules at the cell's library size, ``(cells, genes)``, for ``depth="library"``."""
        return (p["mean"] + p.log_library() - math.log(p.unit)).clamp(-30.0, 30.0)

    def dist(self, p: Parameters) -> Distribution:
        return Independent(TorchBernoulli(logits=self.logit(p), validate_args=False), 1)

    def sample(self, p: Parameters, rng: torch.Generator) -> Tensor:
        return torch.bernoulli(self.mean(p), generator=rng)

    def posterior(self, p: Parameters, seen: Seen) -> Posterior:
        """The probability of presence, given whether it was present.

        With a factor for depth or feature, the decoder's output is the probability that a feature is open, and the factors are
        the probability that an open one is seen. Otherwise presences are independent, and nothing is learned from one.
        """
        if self.depth != "learned" and not self.bias:
            return Posterior(self.mean(p), torch.zeros_like(p["mean"]))
        log_p = self.log_p(p)
        by_depth = self.depth == "library"
        opened = -torch.expm1(-self.log_rate(p).exp()) if by_depth else torch.sigmoid(p["mean"])
        seen_if_open = (log_p.exp() / opened.clamp_min(1e-12)).clamp_max(1.0)
        missed = opened * (1 - seen_if_open)
        opened = torch.where(
            seen.measured == 0, opened, torch.where(seen.counts > 0, 1.0, missed / (1 - opened + missed).clamp_min(1e-12))
        )
        return Posterior(seen_if_open * opened, seen_if_open * (opened * (1 - opened)).sqrt())

    def nll(self, p: Parameters, target: Counts) -> Tensor:
        if self.depth == "library" and not self.bias:
            return presence_nll(self.log_rate(p), target)
        if self.depth == "none" and not self.bias:
            return fused.bernoulli(p.raw["mean"], target) if fused.takes(p.raw["mean"]) else bernoulli_nll(p["mean"], target)
        return probability_nll(self.log_p(p), target)

    def observed(self, target: Counts) -> Tensor:
        return (target.dense() > 0).to(target.value.dtype)
