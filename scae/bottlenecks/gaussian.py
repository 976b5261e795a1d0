"""A Gaussian posterior: the variational autoencoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..batch import Encoded, Latent
from ..parts import option, part
from ..priors import Prior, StandardNormal
from .base import Bottleneck


@part("bottleneck", "gaussian")
class Gaussian(Bottleneck):
    """A Gaussian posterior with diagonal covariance (Kingma 2014); β weighs its KL (Higgins 2017)."""

    dim: int = option("size of the latent", default=32, low=1)
    beta: float = option("weight of the KL term", default=1.0, low=0.0)
    batch_mmd: float = option("weight of the discrepancy between the batches' latents", default=0.0, low=0.0)
    prior: Prior = option("prior of the latent", default=StandardNormal(), kind="prior")

    @property
    def n_stats(self) -> int:
        return 2 * self.dim

    def __call__(self, weights: nn.Module, encoded: Encoded, rng: torch.Generator | None) -> Latent:  # noqa: ARG002
        mean, log_variance = encoded.stats.chunk(2, dim=1)  # (cells, dim) each
        sd = (0.5 * log_variance.clamp(-14.0, 8.0)).exp()
        z = mean
        if rng is not None:
            z = mean + sd * torch.randn(mean.shape, generator=rng, device=mean.device, dtype=mean.dtype)
        penalty = mean.new_zeros(len(mean))
        if self.batch_mmd and encoded.groups is not None:
            penalty = penalty + self.batch_mmd * discrepancy(z, encoded.groups)
        return Latent(z, mean, sd, self.beta * self.prior.kl(mean, sd), penalty)


def discrepancy(z: Tensor, groups: Tensor) -> Tensor:
    """Squared maximum mean discrepancy between groups of points, a mean over pairs of groups (Gretton 2012).

    Parameters
    ----------
    z
        ``(cells, dim)``.
    groups
        ``(cells,)`` int64 codes.

    Returns
    -------
    Tensor
        A scalar from 0: the kernel is a mean of Gaussians at five scales around the mean squared distance of the points.
    """
    _, codes = groups.unique(return_inverse=True)
    n_groups = int(codes.max()) + 1
    if n_groups < 2:
        return z.new_zeros(())
    distance = torch.cdist(z, z, compute_mode="use_mm_for_euclid_dist").square()
    scale = distance.detach().mean().clamp_min(1e-12)
    kernel = torch.stack([(-distance / (s * scale)).exp() for s in (0.125, 0.25, 0.5, 1.0, 2.0)]).mean(0)
    share = torch.nn.functional.one_hot(codes, n_groups).to(z.dtype)
    share = share / share.sum(0)
    between = share.T @ kernel @ share  # (groups, groups), mean kernel between the points of two groups
    return 2 * (n_groups * between.trace() - between.sum()) / (n_groups * (n_groups - 1))
