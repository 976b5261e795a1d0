"""A Gaussian posterior: the variational autoencoder."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..keys import DataSpec
from ..parts import option, part
from ..priors.base import Prior, Sample, draw, normal_log_prob, posterior
from ..priors.standard import StandardNormal
from ..records import Cells, Encoded, Latent
from .base import Bottleneck


@part("bottleneck", "gaussian")
class Gaussian(Bottleneck):
    """Variational autoencoder: a Gaussian posterior with diagonal covariance (Kingma 2014); β weights the KL (Higgins 2017).

    ``n_samples`` draws per cell are decoded from one pass of the encoder. The loss is their mean negative ELBO, or, with
    ``objective="iwae"``, the importance-weighted bound −log 1/K Σₖ p(x, zₖ) / q(zₖ|x), which approaches −log p(x) as K grows
    (Burda 2016, doi:10.48550/arXiv.1509.00519). In that objective β and the warm-up are exponents of p(z)/q(z|x) inside the sum,
    so the loss is a bound only for β = 1.

    With ``free_bits`` λ, a dimension whose mean KL over the minibatch is below λ nats costs λ and is not pulled to the prior
    (Kingma 2016, doi:10.48550/arXiv.1606.04934). For a prior that does not factorise over dimensions, there is a single floor
    of λ · dim. Free bits apply in training only; held-out losses and scores use the full KL.

    Raises
    ------
    ConfigError
        If ``free_bits`` is combined with the importance-weighted objective, which has no separate KL term.

    Examples
    --------
    >>> Gaussian(dim=10, n_samples=5, objective="iwae").n_samples
    5
    """

    dim: int = option("size of the latent", default=32, low=1)
    beta: float = option("weight of the KL term", default=1.0, low=0.0)
    batch_mmd: float = option("weight of the maximum mean discrepancy between batches where they overlap", default=0.0, low=0.0)
    prior: Prior = option("prior of the latent", default=StandardNormal(), kind="prior")
    free_bits: float = option("minimum KL cost per latent dimension in training, nats", default=0.0, low=0.0)
    n_samples: int = option("draws of the latent per cell in the loss", default=1, low=1)
    objective: str = option("ELBO averaged over draws, or importance-weighted bound", default="elbo", choices=("elbo", "iwae"))

    def __post_init__(self) -> None:
        if self.free_bits and self.objective == "iwae":
            raise ConfigError(
                f"bottleneck 'gaussian': free_bits is {self.free_bits} and objective is 'iwae'; allowed: one of the two. "
                "Use objective 'elbo' or free_bits 0."
            )

    @property
    def n_stats(self) -> int:
        return 2 * self.dim

    def at_draws(self) -> Gaussian:
        return replace(self, objective="iwae", free_bits=0.0)

    def build(self, data: DataSpec, rng: torch.Generator) -> nn.Module:
        return self.prior.build(self.dim, data, rng)

    def start(self, weights: nn.Module, sample: Sample, rng: torch.Generator) -> None:
        self.prior.start(weights, sample, rng)

    def __call__(self, weights: nn.Module, encoded: Encoded, cells: Cells, rng: torch.Generator | None) -> Latent:
        mean, sd = posterior(encoded.stats)  # (cells, dim) each
        drawn = draw(mean, sd, rng)
        z = self.prior.to_latent(drawn)
        penalty = self.prior.penalty(weights, drawn, cells)
        if self.batch_mmd and cells.batch is not None:
            penalty = penalty + self.batch_mmd * discrepancy(z, cells.batch)
        kl = self._kl(weights, mean, sd, drawn, encoded, cells)
        return Latent(z, self.prior.to_latent(mean), kl, penalty, sd=self.prior.latent_sd(mean, sd))

    def sample(self, weights: nn.Module, encoded: Encoded, cells: Cells, rng: torch.Generator) -> Tensor:
        return self.prior.to_latent(self.prior.sample(weights, encoded, cells, rng))

    def _kl(self, weights: nn.Module, mean: Tensor, sd: Tensor, drawn: Tensor, encoded: Encoded, cells: Cells) -> Tensor:
        """Unweighted KL ``(cells,)``, nats; log q(z|x) − log p(z) at the draw for the importance-weighted objective."""
        if self.objective == "iwae":
            return normal_log_prob(drawn, mean, sd).sum(1) - self.prior.log_prob(weights, drawn, encoded, cells)
        parts = self.prior.kl_parts(weights, mean, sd, drawn, encoded, cells)  # (cells, dim), or (cells, 1)
        if self.free_bits and weights.training:
            floor = parts.new_tensor(self.free_bits * self.dim / parts.shape[1])
            parts = torch.where(parts.mean(0) > floor, parts, floor)
        return parts.sum(1)

    def bound(self, nll: Tensor, latent: Latent, warmup: float) -> Tensor:
        if self.objective == "elbo":
            return super().bound(nll, latent, warmup)
        log_weight = -(nll + warmup * (self.beta * latent.kl)).view(self.n_samples, -1)  # (draws, cells)
        best = torch.logsumexp(log_weight, 0) - math.log(self.n_samples)
        return latent.penalty.view(self.n_samples, -1).mean(0) - best


def discrepancy(z: Tensor, groups: Tensor) -> Tensor:
    """Squared maximum mean discrepancy between groups of points where they overlap, averaged over pairs of groups (Gretton 2012).

    A point counts for as much as there are points of other groups near it, see :func:`overlap`. So groups are matched in the
    kinds of points that they share, whatever the share of each kind, and a kind that only one group has is left where it is. The
    kernel is the mean of Gaussian kernels at five scales around the mean squared distance between points. No point is paired with
    itself: otherwise groups of few points seem to differ even where they are alike, and the less so, the more all points crowd.

    Parameters
    ----------
    z
        ``(cells, dim)``.
    groups
        ``(cells,)`` int64 codes.

    Returns
    -------
    Tensor
        A scalar, which is below zero by chance where groups are alike; zero with fewer than two groups of at least two points.
    """
    _, codes, sizes = groups.unique(return_inverse=True, return_counts=True)
    member = torch.nn.functional.one_hot(codes, sizes.numel()).to(z.dtype)[:, sizes > 1]  # (cells, groups)
    n_groups = member.shape[1]
    if n_groups < 2:
        return z.new_zeros(())
    distance = torch.cdist(z, z, compute_mode="use_mm_for_euclid_dist").square()
    scale = distance.detach().mean().clamp_min(1e-12)
    apart = 1 - torch.eye(len(z), dtype=z.dtype, device=z.device)
    kernels = [(-distance / (s * scale)).exp() * apart for s in (0.125, 0.25, 0.5, 1.0, 2.0)]
    share = member * overlap(kernels[0].detach(), member)[:, None]
    share = share / share.sum(0)
    pairs = 1 - share.square().sum(0)  # weight of the pairs of different points within a group
    between = share.T @ torch.stack(kernels).mean(0) @ share  # (groups, groups), mean kernel between points of two groups
    within = between.diagonal() / pairs.clamp_min(1e-6)
    across = between.sum() - between.trace()
    return 2 * ((n_groups - 1) * within.sum() - across) / (n_groups * (n_groups - 1))


def overlap(kernel: Tensor, member: Tensor) -> Tensor:
    """Share that other groups have of the density at each point, every group counting alike (overlap weights, Li 2018).

    With these weights, groups of densities p and q both have the density pq / (p + q), apart from its integral
    (doi:10.1080/01621459.2016.1260466).

    Parameters
    ----------
    kernel
        ``(cells, cells)``, zero on the diagonal.
    member
        ``(cells, groups)``, one where the cell is of the group, otherwise zero.

    Returns
    -------
    Tensor
        ``(cells,)``, from 0 for a point with neighbours of its own group only to 1.
    """
    density = (kernel @ member) / (member.sum(0) - member).clamp_min(1)  # a point is no neighbour of its own
    own, others = (density * member).sum(1), (density * (1 - member)).sum(1) / (member.shape[1] - 1)
    return (others + 1e-20) / (own + others + 1e-6)  # small for a point far from all; even where groups are far apart
