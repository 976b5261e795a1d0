"""Features in genome order: the padded axis on which they lie, and convolutional layers along it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..keys import DataSpec
from ..layers import uniform
from ..ops.windows import rearranged, sparse_windows
from ..records import EncoderInput


@dataclass(frozen=True)
class Axis:
    """A genome axis of places, padded so that each chromosome begins at a multiple of ``unit`` and no window spans two.

    Attributes
    ----------
    place
        ``(genes,)`` int64, the place of each gene.
    feature
        ``(places,)`` int64, the gene at each place; −1 for padding.
    first
        ``(places / unit,)`` bool, whether a unit is the first of its chromosome.
    unit
        Number of places in the widest window.
    """

    place: Tensor
    feature: Tensor
    first: Tensor
    unit: int

    @classmethod
    def of(cls, data: DataSpec, unit: int, device: torch.device) -> Axis:
        """The axis of a model's genes in ``data.order``; if that is empty, as listed, on one chromosome."""
        order = torch.tensor(data.order or range(data.n_genes), dtype=torch.int64)
        place, begun = torch.empty_like(order), [0]
        for start, stop in pairwise((0, *data.breaks, data.n_genes)):
            place[order[start:stop]] = begun[-1] * unit + torch.arange(stop - start)
            begun.append(begun[-1] + math.ceil((stop - start) / unit))
        feature = torch.full((begun[-1] * unit,), -1).index_copy_(0, place, torch.arange(data.n_genes))
        first = torch.zeros(begun[-1], dtype=torch.bool).index_fill_(0, torch.tensor(begun[:-1]), True)
        return cls(place.to(device), feature.to(device), first.to(device), unit)

    @property
    def n_units(self) -> int:
        """Number of the widest windows."""
        return len(self.first)

    def begins(self, size: int) -> Tensor:
        """``(places / size,)`` bool: whether a window of ``size`` places, a divisor of the unit, begins a chromosome."""
        apart = self.first.new_zeros(len(self.first), self.unit // size)
        apart[:, 0] = self.first
        return apart.flatten()


class FirstConvolution(nn.Module):
    """First convolution, from sparse counts, with stride = kernel size; covariates shift a channel equally in all windows."""

    place: Tensor
    feature: Tensor

    def __init__(self, axis: Axis, size: int, channels: int, n_design: int, rng: torch.Generator) -> None:
        super().__init__()
        self.weight = uniform((size, channels), size, rng)
        self.bias = nn.Parameter(torch.zeros(channels, device=rng.device))
        self.design = nn.Parameter(torch.zeros(n_design, channels, device=rng.device)) if n_design else None
        self.n_windows = len(axis.feature) // size
        self.register_buffer("place", axis.place, persistent=False)
        self.register_buffer("feature", axis.feature, persistent=False)

    def forward(self, seen: EncoderInput, design: Tensor | None, rng: torch.Generator | None) -> Tensor:
        """``(cells, windows · channels)``, with the channels of a window next to each other; noise draws from ``rng``."""
        out = sparse_windows(seen.counts, self.weight, self.place, self.n_windows)
        if seen.shift is not None:
            out = out - seen.of_cell(self._of_dense(seen.shift))
        if seen.noise_sd and rng is not None:
            out = out + seen.noise_sd * self.noise(len(out), rng)
        level = self.bias if self.design is None or design is None else self.bias + design @ self.design
        return (out.view(len(out), self.n_windows, -1) + level.view(-1, 1, len(self.bias))).flatten(1)

    def jacobian_sq(self, u: Tensor) -> Tensor:
        """‖uᵀ ∂out/∂input‖² ``(cells,)`` for ``u`` ``(cells, windows · channels)``, where the input is on the encoder's scale."""
        back = (u.reshape(-1, len(self.bias)) @ self.weight.T).view(len(u), len(self.feature))  # (cells, places)
        return back.square() @ (self.feature >= 0).to(u.dtype)

    def noise(self, n: int, rng: torch.Generator) -> Tensor:
        """Draws ``(n, windows · channels)`` of what N(0, 1) noise on every gene, zeros included, adds to the output."""
        drawn = torch.randn(n, len(self.place), generator=rng, device=rng.device, dtype=self.weight.dtype)
        return self._of_dense(drawn)

    def _of_dense(self, x: Tensor) -> Tensor:
        """The convolution of dense rows ``(n, genes)``."""
        spread = rearranged(x, self.feature, self.place)  # (n, places)
        return (spread.view(-1, len(self.weight)) @ self.weight).view(len(x), self.n_windows * len(self.bias))


class Up(nn.Module, ABC):
    """A step to higher resolution: each window becomes ``size`` windows. No bias."""

    def __init__(self, size: int, n_out: int) -> None:
        super().__init__()
        self.size, self.n_out = size, n_out

    @abstractmethod
    def inputs(self, x: Tensor, cells: int) -> Tensor:
        """The inputs on which each new window depends, ``(cells · windows, width)``, from ``(cells · windows, n_in)``."""

    @abstractmethod
    def matrix(self) -> Tensor:
        """The weights as one matrix, ``(width, size · n_out)``."""

    def forward(self, x: Tensor, cells: int) -> Tensor:
        """``(cells · windows · size, n_out)``."""
        return (self.inputs(x, cells) @ self.matrix()).view(-1, self.n_out)


class Transposed(Up):
    """A transposed convolution with stride = kernel size: a new window depends only on the window that contains it."""

    def __init__(self, begins: Tensor, n_in: int, n_out: int, size: int, rng: torch.Generator) -> None:
        super().__init__(size, n_out)
        self.weight = uniform((n_in, size, n_out), n_in, rng)

    def inputs(self, x: Tensor, cells: int) -> Tensor:
        return x

    def matrix(self) -> Tensor:
        return self.weight.flatten(1)


class Upsampled(Up):
    """Nearest-neighbour upsampling, then a convolution over 2 · ⌊size / 2⌋ + 1 windows, zero-padded at chromosome ends.

    Both steps together are one linear map of a window and its two neighbours: under each tap of the convolution lies a copy of
    the window or of a neighbour. The upsampled map is therefore never computed.
    """

    taken: Tensor
    lefts: Tensor
    rights: Tensor

    def __init__(self, begins: Tensor, n_in: int, n_out: int, size: int, rng: torch.Generator) -> None:
        super().__init__(size, n_out)
        reach = size // 2
        self.weight = uniform((2 * reach + 1, n_in, n_out), (2 * reach + 1) * n_in, rng)  # (taps, in, out)
        tap, place = torch.meshgrid(torch.arange(2 * reach + 1), torch.arange(size), indexing="ij")
        taken = nn.functional.one_hot((place + tap - reach).div(size, rounding_mode="floor") + 1, 3)  # (taps, size, 3)
        dtype, device = self.weight.dtype, begins.device
        self.register_buffer("taken", taken.to(device, dtype), persistent=False)
        self.register_buffer("lefts", (~begins)[:, None].to(dtype), persistent=False)  # 0 where there is no left neighbour
        self.register_buffer("rights", (~begins).roll(-1)[:, None].to(dtype), persistent=False)

    def inputs(self, x: Tensor, cells: int) -> Tensor:
        x = x.view(cells, len(self.lefts), -1)
        return torch.cat([x.roll(1, 1) * self.lefts, x, x.roll(-1, 1) * self.rights], 2).flatten(0, 1)

    def matrix(self) -> Tensor:
        return torch.einsum("tsd,tio->diso", self.taken, self.weight).flatten(2).flatten(0, 1)


UPS: dict[str, type[Transposed] | type[Upsampled]] = {"transposed": Transposed, "nearest": Upsampled}


class GenomeReadout(nn.Module):
    """Read-out layer along the genome: the last step, to single features, with a bias and covariate effects per feature."""

    place: Tensor
    feature: Tensor

    def __init__(self, axis: Axis, up: Up, n_design: int, rng: torch.Generator) -> None:
        super().__init__()
        n_genes, self.up = len(axis.place), up
        self.bias = nn.Parameter(torch.zeros(n_genes, device=rng.device))
        self.design = nn.Parameter(torch.zeros(n_genes, n_design, device=rng.device)) if n_design else None
        self.register_buffer("place", axis.place, persistent=False)
        self.register_buffer("feature", axis.feature, persistent=False)

    def forward(self, x: Tensor, cells: int, design: Tensor | None) -> Tensor:
        """``(cells, genes)`` from the narrowest windows ``(cells · windows, channels)``; padding is dropped."""
        along = self.up(x, cells).view(cells, -1)  # (cells, places)
        value = rearranged(along, self.place, self.feature) + self.bias
        return value if self.design is None or design is None else value + design @ self.design.T
