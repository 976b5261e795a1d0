"""Student's t: robust to outliers, on transformed values."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, StudentT

from ..parts import option, part
from ..records import GeneStatistics
from .base import CELL_GENE, SCALES, SHARED, Likelihood, Parameters, log_sd, log_sd_of

_START = 8.0  # initial degrees of freedom if they are learned


@part("likelihood", "student")
class Student(Likelihood):
    """Student's t on the encoder's scale: the cost of an outlier grows with the log of its distance (Lange 1989).

    Degrees of freedom are fixed, or learned as one number for all genes. They are above two, so that the variance is finite.
    doi:10.1080/01621459.1989.10478852.
    """

    on_input = True
    sd: str = option("one scale per gene, or one shared by all genes", default="shared", choices=tuple(SCALES))
    df: float | None = option("degrees of freedom (none: learned)", default=None, low=2.01, high=1e6)

    def parameters(self) -> dict[str, str]:
        learned = {"df": SHARED} if self.df is None else {}
        return {"mean": CELL_GENE, "log_sd": SCALES[self.sd], **learned}

    def start(self, stats: GeneStatistics) -> dict[str, Tensor]:
        learned = {"df": stats.mean.new_tensor([math.log(_START - 2)])} if self.df is None else {}
        return {"mean": stats.input_mean.mean(0), **learned}

    def start_spread(self, residual: Tensor) -> dict[str, Tensor]:
        df = _START if self.df is None else self.df
        return {"log_sd": log_sd_of(residual * (df - 2) / df, SCALES[self.sd])}  # the variance is scale² df / (df − 2)

    def _df(self, p: Parameters) -> Tensor:
        if self.df is None:
            return 2 + p["df"].clamp(-6.0, 14.0).exp()
        return p["mean"].new_tensor([self.df])

    def dist(self, p: Parameters) -> Distribution:
        return Independent(StudentT(self._df(p), p["mean"], log_sd(p).exp(), validate_args=False), 1)

    def mean(self, p: Parameters) -> Tensor:
        return p["mean"]

    def sample(self, p: Parameters, rng: torch.Generator) -> Tensor:
        mean, half = p["mean"], self._df(p) / 2
        normal = torch.randn(mean.shape, generator=rng, device=mean.device, dtype=mean.dtype)
        spread = torch._standard_gamma(half.expand_as(mean).contiguous(), generator=rng) / half  # chi² / df
        return mean + log_sd(p).exp() * normal * spread.rsqrt()
