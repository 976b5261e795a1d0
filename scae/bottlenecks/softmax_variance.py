"""A Gaussian posterior whose variances sum to one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..draws import normal
from ..parts import option, part
from ..priors.base import draw, normal_kl
from ..records import Cells, Encoded, Latent
from .base import Bottleneck


@part("bottleneck", "softmax_variance")
class SoftmaxVariance(Bottleneck):
    """A Gaussian posterior whose variances are a softmax over the latent dimensions, so they sum to one (Tran 2021).

    No dimension can become noise-free or pure noise, and the total variance is the same in every cell. The prior is standard
    normal. A draw has ``noise`` times the posterior's standard deviation, while the KL term is that of the posterior itself, as
    in scDHA (doi:10.1038/s41467-021-21312-2). The loss is therefore a bound on the likelihood only with ``noise=1`` and β = 1.

    Examples
    --------
    >>> SoftmaxVariance(dim=10, noise=1.0).n_stats
    20
    """

    dim: int = option("size of the latent", default=15, low=1)
    beta: float = option("weight of the KL term", default=1.0, low=0.0)
    noise: float = option("standard deviation of a draw, in units of the posterior's", default=0.25, low=0.0)

    @property
    def n_stats(self) -> int:
        return 2 * self.dim

    def __call__(self, weights: nn.Module, encoded: Encoded, cells: Cells, rng: torch.Generator | None) -> Latent:
        mean, logits = encoded.stats.chunk(2, dim=1)
        log_share: Tensor = logits.log_softmax(1).clamp_min(-14.0)  # the same floor as for other posteriors
        sd = (0.5 * log_share).exp()
        kl = normal_kl(mean, sd, torch.zeros_like(mean), torch.ones_like(sd)).sum(1)
        return Latent(draw(mean, self.noise * sd, rng), mean, kl, mean.new_zeros(len(mean)), sd=sd)

    def sample(self, weights: nn.Module, encoded: Encoded, cells: Cells, rng: torch.Generator) -> Tensor:
        return normal(encoded.stats[:, : self.dim], rng)
