"""Encodings without an encoder, for tests of what a bottleneck does with them."""

from __future__ import annotations

import torch
from torch import Tensor

from scae.batch import Encoded


def encoded(stats: Tensor) -> Encoded:
    """What an encoder that gave these numbers would hand on: its first layer is its last."""
    return Encoded(stats, stats, lambda x: x, lambda u: u.square().sum(1))


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Float64 draws."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
