"""Bernoulli: a feature is present or absent."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Distribution, Independent

from ..batch import CountBatch, GeneStatistics
from ..ops.bernoulli import bernoulli_nll
from ..parts import part
from .base import CELL_GENE, Likelihood, Parameters


@part("likelihood", "bernoulli")
class Bernoulli(Likelihood):
    """Presence or absence of each feature, as of open chromatin (Ashuach 2022)."""

    def parameters(self) -> dict[str, str]:
        return {"mean": CELL_GENE}

    def start(self, stats: GeneStatistics) -> dict[str, Tensor]:
        return {"mean": torch.logit(stats.detected)}

    def dist(self, p: Parameters) -> Distribution:
        return Independent(TorchBernoulli(logits=p["mean"], validate_args=False), 1)

    def sample(self, p: Parameters, rng: torch.Generator) -> Tensor:
        return torch.bernoulli(self.mean(p), generator=rng)

    def nll(self, p: Parameters, batch: CountBatch) -> Tensor:
        return bernoulli_nll(p["mean"], batch)

    def target(self, batch: CountBatch) -> CountBatch:
        return batch.with_value((batch.value > 0).to(batch.value.dtype))
