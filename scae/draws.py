"""Random draws for latents, in the order of a generator or by the cell."""

from __future__ import annotations

import torch
from torch import Tensor

from .records import Counts

_MIX = (0xBF58476D1CE4E5B9 - (1 << 64), 0x94D049BB133111EB - (1 << 64))  # as int64
_STEP = 0x9E3779B97F4A7C15 - (1 << 64)


class PerCell(torch.Generator):
    """A generator whose draws for a cell depend on its counts and on how often it was asked, not on the other cells.

    For anything but :func:`normal` and :func:`uniform` it is an ordinary generator.

    Parameters
    ----------
    counts
        The cells.
    seed
        Seed of all draws.

    References
    ----------
    Steele, Lea and Flood (2014), Fast splittable pseudorandom number generators, doi:10.1145/2714064.2660195 (the mixing).

    Examples
    --------
    >>> from scae.records import Counts
    >>> two = Counts(torch.tensor([0, 1, 2]), torch.tensor([0, 1]), torch.tensor([3.0, 2.0]), n_genes=2)
    >>> second = Counts(torch.tensor([0, 1]), torch.tensor([1]), torch.tensor([2.0]), n_genes=2)
    >>> like = torch.zeros(2, 3)
    >>> bool((normal(like, PerCell(two))[1:] == normal(like[1:], PerCell(second))).all())
    True
    """

    def __new__(cls, counts: Counts, _seed: int = 0) -> PerCell:
        return super().__new__(cls, counts.value.device)  # type: ignore[call-arg]

    def __init__(self, counts: Counts, seed: int = 0) -> None:
        self.manual_seed(seed)
        self.asked = 0
        stored = _mixed(counts.gene + _mixed(counts.value.double().view(torch.int64)))  # (nnz,)
        sums = stored.new_zeros(len(counts)).index_add_(0, counts.cell, stored)  # whole numbers: the order does not matter
        self.key = _mixed(sums + _mixed(sums.new_tensor(seed)))  # (cells,)

    def uniform(self, like: Tensor) -> Tensor:
        """Draws from U(0, 1), as many per cell as ``like`` has columns."""
        self.asked += 1
        column = torch.arange(like.shape[1], device=like.device) + (self.asked << 32)
        bits = _mixed(self.key[:, None] + _STEP * column)  # (cells, columns)
        return ((_shifted(bits, 11).double() + 0.5) * 2.0**-53).to(like.dtype)


def normal(like: Tensor, rng: torch.Generator) -> Tensor:
    """Draws from N(0, 1) of the shape ``(cells, n)``, the type and the device of ``like``."""
    if isinstance(rng, PerCell):
        return torch.special.ndtri(rng.uniform(like.double())).to(like.dtype)
    return torch.randn(like.shape, generator=rng, device=like.device, dtype=like.dtype)


def uniform(like: Tensor, rng: torch.Generator) -> Tensor:
    """Draws from U(0, 1) of the shape ``(cells, n)``, the type and the device of ``like``."""
    if isinstance(rng, PerCell):
        return rng.uniform(like)
    return torch.rand(like.shape, generator=rng, device=like.device, dtype=like.dtype)


def _shifted(x: Tensor, n: int) -> Tensor:
    """``x >> n`` of 64 bits without a sign."""
    return (x >> n) & ((1 << (64 - n)) - 1)


def _mixed(x: Tensor) -> Tensor:
    """A bijection of int64 that turns similar numbers into unrelated ones."""
    x = (x ^ _shifted(x, 30)) * _MIX[0]
    x = (x ^ _shifted(x, 27)) * _MIX[1]
    return x ^ _shifted(x, 31)
