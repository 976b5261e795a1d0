"""Encodings without an encoder, for tests of what a bottleneck does with them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scae.bottlenecks import Bottleneck
from scae.priors.base import Sample
from scae.records import Cells, Encoded, Latent


def encoded(stats: Tensor) -> Encoded:
    """What an encoder that gave these numbers would give to a bottleneck: its first layer is its last."""
    return Encoded(stats, stats, None, lambda first, _: first, lambda u: u.square().sum(1))


def cells_of(n: int, label: Tensor | None = None) -> Cells:
    """Cells of which nothing is known, apart perhaps from a label."""
    return Cells(torch.ones(n, 1), torch.zeros(n, 0, dtype=torch.int64), torch.zeros(n, 0), label=label)


def latent_of(bottleneck: Bottleneck, weights: nn.Module, stats: Tensor, rng: torch.Generator | None = None) -> Latent:
    """The latent of cells that an encoder gave these numbers."""
    return bottleneck(weights, encoded(stats), cells_of(len(stats)), rng)


def sample_of(stats: Tensor, label: Tensor | None = None) -> Sample:
    """The first of these cells."""
    return lambda n: (encoded(stats[:n]), cells_of(len(stats[:n]), None if label is None else label[:n]))


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Float64 draws."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
