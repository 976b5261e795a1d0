"""A hierarchy of Gaussian latents, each the prior of the one below."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from ..keys import DataSpec
from ..layers import Dense, NormActDrop
from ..parts import option, part
from ..priors.base import Prior, Sample, draw, normal_kl, posterior
from ..priors.standard import StandardNormal
from ..records import Cells, Encoded, Latent
from .base import Bottleneck


class Conditional(nn.Module):
    """p(z below | z above): a small network that maps a latent to mean and standard deviation of the latent below."""

    def __init__(self, n_above: int, n_below: int, hidden: tuple[int, ...], rng: torch.Generator) -> None:
        super().__init__()
        widths = (n_above, *hidden, 2 * n_below)
        self.layers = cast(list[Dense], nn.ModuleList(Dense(a, b, 0, rng) for a, b in pairwise(widths)))
        self.blocks = cast(list[NormActDrop], nn.ModuleList(NormActDrop(w, "layer", "relu", 0.0) for w in hidden))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation ``(cells, n_below)`` from ``(cells, n_above)``."""
        x = self.layers[0](z)
        for block, layer in zip(self.blocks, self.layers[1:], strict=True):
            x = layer(block(x, None))
        return posterior(x)


class LadderWeights(nn.Module):
    """The prior of the top latent, and a conditional prior for each latent below it, from the bottom up."""

    def __init__(self, prior: nn.Module, conditionals: list[Conditional]) -> None:
        super().__init__()
        self.prior = prior
        self.conditionals = cast(list[Conditional], nn.ModuleList(conditionals))


@part("bottleneck", "hierarchical")
class Hierarchical(Bottleneck):
    """Ladder VAE: several Gaussian latents, each the learned prior of the one below (Sønderby 2016).

    The decoder sees the bottom latent z₁ of size ``dim``. Above it are z₂, z₃, … of sizes ``top_dims``:
    p(z) = p(z_top) ∏ p(zᵢ | zᵢ₊₁). The posterior of zᵢ combines the encoder's output for zᵢ with the conditional prior given
    zᵢ₊₁, weighted by their precisions. The KL is the sum over all latents. The training history has each term as ``kl_z1``,
    ``kl_z2``, …, in nats per cell; a value near zero shows that a latent is unused. The embedding is the mean of the bottom
    latent with all latents above at their means; its standard deviation is conditional on those. doi:10.48550/arXiv.1602.02282.

    With ``free_bits`` λ, a latent of d dimensions whose mean KL over the minibatch is below λ·d nats costs λ·d and is not pulled
    to its prior, so that no latent goes unused (Kingma 2016, doi:10.48550/arXiv.1606.04934). Free bits apply in training only;
    the history, held-out losses and scores have the full KL.

    Examples
    --------
    >>> Hierarchical(dim=16, top_dims=(8, 4)).n_stats
    56
    """

    dim: int = option("size of the bottom latent, the one that is decoded", default=32, low=1)
    top_dims: tuple[int, ...] = option("sizes of the latents above it, from the bottom up", default=(8,), low=1)
    hidden: tuple[int, ...] = option("hidden layer widths of the networks between latents", default=(64,), low=1)
    beta: float = option("weight of the KL term", default=1.0, low=0.0)
    prior: Prior = option("prior of the top latent", default=StandardNormal(), kind="prior")
    free_bits: float = option("minimum KL cost per latent dimension in training, nats", default=0.0, low=0.0)

    @property
    def dims(self) -> tuple[int, ...]:
        """Sizes of all latents, from the bottom up."""
        return (self.dim, *self.top_dims)

    @property
    def n_stats(self) -> int:
        return 2 * sum(self.dims)

    def build(self, data: DataSpec, rng: torch.Generator) -> nn.Module:
        conditionals = [Conditional(above, below, self.hidden, rng) for below, above in pairwise(self.dims)]
        return LadderWeights(self.prior.build(self.dims[-1], data, rng), conditionals)

    def start(self, weights: nn.Module, sample: Sample, rng: torch.Generator) -> None:
        def topmost(n: int) -> tuple[Encoded, Cells]:
            encoded, cells = sample(n)
            return self._topmost(encoded), cells

        self.prior.start(cast(LadderWeights, weights).prior, topmost, rng)

    def _topmost(self, encoded: Encoded) -> Encoded:
        """The encoder's output for the top latent, its last columns."""
        n = 2 * self.dims[-1]
        return encoded._replace(stats=encoded.stats[:, -n:], rest=lambda first, design: encoded.rest(first, design)[:, -n:])

    def __call__(self, weights: nn.Module, encoded: Encoded, cells: Cells, rng: torch.Generator | None) -> Latent:
        ladder = cast(LadderWeights, weights)
        *below, top = encoded.stats.split([2 * dim for dim in self.dims], dim=1)
        mean, sd = posterior(top)
        z = draw(mean, sd, rng)
        penalty = self.prior.penalty(ladder.prior, z, cells)
        kls = [self.prior.kl(ladder.prior, mean, sd, z, self._topmost(encoded), cells)]  # from the top down
        z, mean, sd = self.prior.to_latent(z), self.prior.to_latent(mean), self.prior.latent_sd(mean, sd)
        for stats, conditional in zip(below[::-1], list(ladder.conditionals)[::-1], strict=True):
            expected, width = conditional(z)
            mean, sd = _merged(*posterior(stats), expected, width)
            z = draw(mean, sd, rng)
            kls.append(normal_kl(mean, sd, expected, width).sum(1))
        kl = torch.stack(kls[::-1])  # (layers, cells), from the bottom up
        history = {f"kl_z{i}": layer.mean() for i, layer in enumerate(kl.detach(), 1)}
        state = kl if self.free_bits and weights.training else None
        return Latent(z, mean, kl.sum(0), penalty, sd=sd, history=history, state=state)

    def bound(self, nll: Tensor, latent: Latent, warmup: float) -> Tensor:
        if latent.state is not None:
            floor = self.free_bits * nll.new_tensor(self.dims)[:, None]
            layers = torch.where(latent.state.mean(1, keepdim=True) > floor, latent.state, floor)
            latent = latent._replace(kl=layers.sum(0))
        return super().bound(nll, latent, warmup)

    def sample(self, weights: nn.Module, encoded: Encoded, cells: Cells, rng: torch.Generator) -> Tensor:
        ladder = cast(LadderWeights, weights)
        z = self.prior.to_latent(self.prior.sample(ladder.prior, self._topmost(encoded), cells, rng))
        for conditional in list(ladder.conditionals)[::-1]:
            mean, sd = conditional(z)
            z = draw(mean, sd, rng)
        return z


def _merged(mean: Tensor, sd: Tensor, other_mean: Tensor, other_sd: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the product of two normal densities."""
    precision, other = sd.square().reciprocal(), other_sd.square().reciprocal()
    variance = (precision + other).reciprocal()
    return (mean * precision + other_mean * other) * variance, variance.sqrt()
