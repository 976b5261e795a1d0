"""Gaussian: squared error with a learned standard deviation, on transformed values or on counts."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from ..ops.gaussian import gaussian_nll
from ..parts import option, part
from ..records import Counts, EncoderInput, GeneStatistics
from .base import CELL_GENE, SCALES, Likelihood, Parameters, log_sd, log_sd_of


@part("likelihood", "gaussian")
class GaussianLikelihood(Likelihood):
    """Gaussian on the encoder's scale, or on counts with means proportional to library size (Eraslan 2019, "normal").

    ``mse_weight`` w fixes the standard deviation at √(genes / 2w), so that the cost of a cell is w times its mean squared error
    over the genes, plus a constant; the weight of the reconstruction then depends on neither the noise nor the number of genes.

    Examples
    --------
    >>> GaussianLikelihood(mse_weight=100.0).parameters()
    {'mean': 'cell×gene'}
    """

    target_scale: str = option("what is modelled: the encoder's input, or counts", default="input", choices=("input", "counts"))
    sd: str = option("one standard deviation per gene, or one shared by all genes", default="shared", choices=tuple(SCALES))
    mse_weight: float | None = option(
        "cost of a mean squared error of one, which fixes the standard deviation (none: learned)", default=None, low=1e-6
    )

    @property
    def on_input(self) -> bool:  # type: ignore[override]
        return self.target_scale == "input"

    def parameters(self) -> dict[str, str]:
        learned = {"log_sd": SCALES[self.sd]} if self.mse_weight is None else {}
        return {"mean": CELL_GENE, **learned}

    def start(self, stats: GeneStatistics) -> dict[str, Tensor]:
        return {"mean": stats.input_mean.mean(0) if self.on_input else stats.mean}

    def start_spread(self, residual: Tensor) -> dict[str, Tensor]:
        return {"log_sd": log_sd_of(residual, SCALES[self.sd])}

    def dist(self, p: Parameters) -> Distribution:
        return Independent(Normal(self._location(p), self._log_sd(p).exp(), validate_args=False), 1)

    def _log_sd(self, p: Parameters) -> Tensor:
        if self.mse_weight is None:
            return log_sd(p)
        mean = p["mean"]
        return mean.new_tensor([0.5 * math.log(mean.shape[1] / (2 * self.mse_weight))])

    def _location(self, p: Parameters) -> Tensor:
        return p["mean"] if self.on_input else p["mean"] * (p.library / p.unit)

    def sample(self, p: Parameters, rng: torch.Generator) -> Tensor:
        dist = self.dist(p)
        mean, sd = dist.mean, dist.stddev
        return mean + sd * torch.randn(mean.shape, generator=rng, device=mean.device, dtype=mean.dtype)

    def nll(self, p: Parameters, target: Counts | EncoderInput) -> Tensor:
        if isinstance(target, Counts):
            return gaussian_nll(self._location(p), self._log_sd(p), target)
        shift = None if target.shift is None else target.of_cell(target.shift)
        return gaussian_nll(self._location(p), self._log_sd(p), target.counts, shift)
