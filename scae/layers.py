"""Layers that networks are made of. Weights that face genes are ``(genes, width)``; first draws come from one generator."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, elu, gelu, leaky_relu, linear, relu, selu, silu, softplus

from .batch import CountBatch, Encoded
from .ops.linear import sparse_linear

_FUNCTIONS = (relu, leaky_relu, elu, selu, gelu, silu, softplus, torch.sigmoid, torch.tanh)
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {f.__name__: f for f in _FUNCTIONS}


class BatchNorm(nn.BatchNorm1d):
    """Batch norm that also takes a lone cell in training: one cell has no spread, so the running statistics stand in."""

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 1 or not self.training:
            return super().forward(x)
        return batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


_NORM_LAYERS: dict[str, Callable[[int], nn.Module]] = {"layer": nn.LayerNorm, "batch": BatchNorm, "none": nn.Identity}
NORMS = tuple(_NORM_LAYERS)


def uniform(shape: tuple[int, ...], fan_in: int, rng: torch.Generator) -> nn.Parameter:
    """A parameter drawn from U(−1/√fan_in, 1/√fan_in)."""
    bound = 1 / math.sqrt(max(fan_in, 1))
    return nn.Parameter((torch.rand(shape, generator=rng, device=rng.device) * 2 - 1) * bound)


class Dense(nn.Module):
    """A linear layer; covariates are further inputs. As a read-out its weight is ``(genes, width)``."""

    def __init__(self, n_in: int, n_out: int, n_design: int, rng: torch.Generator) -> None:
        super().__init__()
        self.weight = uniform((n_out, n_in), n_in, rng)
        self.bias = nn.Parameter(torch.zeros(n_out, device=rng.device))
        self.design = nn.Parameter(torch.zeros(n_out, n_design, device=rng.device)) if n_design else None

    def forward(self, x: Tensor, design: Tensor) -> Tensor:
        return self.readout(x, design).full()

    def readout(self, x: Tensor, design: Tensor, tied: Tensor | None = None) -> Readout:
        """The layer's output, not yet evaluated; ``tied`` ``(n_out, n_in)`` stands in for a weight of its own."""
        weight = self.weight if tied is None else tied
        if self.design is None:
            return LinearReadout(x, weight, self.bias)
        return LinearReadout(torch.cat([x, design], 1), torch.cat([weight, self.design], 1), self.bias)


class Readout(ABC):
    """A value for each cell and gene, not yet evaluated: a loss may want all of it, or only what it needs."""

    @abstractmethod
    def full(self) -> Tensor:
        """``(cells, genes)``."""

    @abstractmethod
    def at(self, cell: Tensor, gene: Tensor) -> Tensor:
        """``(n,)``, the values at some pairs of cell and gene."""


@dataclass(frozen=True)
class LinearReadout(Readout):
    """A linear map onto the genes."""

    hidden: Tensor  # (cells, width)
    weight: Tensor  # (genes, width)
    bias: Tensor  # (genes,)

    def full(self) -> Tensor:
        return linear(self.hidden, self.weight, self.bias)

    def at(self, cell: Tensor, gene: Tensor) -> Tensor:
        return (self.hidden[cell] * self.weight[gene]).sum(1) + self.bias[gene]


class FirstLayer(nn.Module):
    """The sparse layer: counts by rows, weights ``(genes, width)``."""

    def __init__(self, n_genes: int, n_out: int, n_design: int, rng: torch.Generator) -> None:
        super().__init__()
        self.weight = uniform((n_genes, n_out), n_genes, rng)
        self.bias = nn.Parameter(torch.zeros(n_out, device=rng.device))
        self.design = nn.Parameter(torch.zeros(n_design, n_out, device=rng.device)) if n_design else None

    def forward(self, batch: CountBatch, design: Tensor, rng: torch.Generator | None = None) -> Tensor:
        out = sparse_linear(batch, self.weight) + self.bias
        if batch.shift is not None:
            out = out - batch.by_group(batch.shift @ self.weight)
        if batch.noise_sd and rng is not None:
            out = out + batch.noise_sd * self.noise(len(batch), rng)
        return out if self.design is None else out + design @ self.design

    def noise(self, n: int, rng: torch.Generator) -> Tensor:
        """What unit Gaussian noise on every gene of the input adds to the output: ``(n, n_out)`` draws from N(0, WᵀW).

        Noise on zeros is not sparse, so where the output is narrower than the input it is drawn there: ξR with RᵀR = WᵀW has
        the law of εW at the cost of ``n_out`` draws a cell. It carries the gradient of the weight, as εW would.
        """
        genes, width = self.weight.shape
        xi = torch.randn(n, min(genes, width), generator=rng, device=self.weight.device, dtype=self.weight.dtype)
        if width >= genes:
            return xi @ self.weight
        gram = self.weight.T @ self.weight
        jitter = 1e-6 * gram.diagonal().detach().mean() + torch.finfo(gram.dtype).tiny  # a unit without weights has rank nought
        factor, _ = torch.linalg.cholesky_ex(gram + jitter * torch.eye(width, device=gram.device, dtype=gram.dtype))
        return xi @ factor.T

    def jacobian_sq(self, u: Tensor) -> Tensor:
        """‖uᵀ ∂out/∂input‖² ``(cells,)`` for ``u`` ``(cells, n_out)``; the input is what the encoder sees."""
        return ((u @ (self.weight.T @ self.weight)) * u).sum(1)


class Finish(nn.Module):
    """What follows a hidden linear layer: norm, activation, dropout drawn from the fit's generator."""

    def __init__(self, width: int, norm: str, activation: str, dropout: float) -> None:
        super().__init__()
        self.norm: nn.Module = _NORM_LAYERS[norm](width)
        self.activation, self.dropout = ACTIVATIONS[activation], dropout

    def forward(self, x: Tensor, rng: torch.Generator | None) -> Tensor:
        x = self.activation(self.norm(x))
        if not self.training or self.dropout == 0 or rng is None:
            return x
        kept = torch.rand(x.shape, generator=rng, device=x.device) >= self.dropout
        return x * kept / (1 - self.dropout)


class Ladder(nn.Module):
    """A feed-forward encoder from sparse values down to the numbers that a bottleneck asks for."""

    def __init__(
        self, n_genes: int, n_stats: int, n_design: int, finishes: list[Finish], widths: tuple[int, ...], rng: torch.Generator,
        *, residual: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.residual = residual
        steps = (*widths, n_stats)
        self.first = FirstLayer(n_genes, steps[0], n_design, rng)
        self.deeper = cast(list[Dense], nn.ModuleList(Dense(a, b, n_design, rng) for a, b in pairwise(steps)))
        self.finishes = nn.ModuleList(finishes)

    def forward(self, batch: CountBatch, design: Tensor, rng: torch.Generator | None) -> Encoded:
        first = self.first(batch, design, rng)  # (cells, width)
        return Encoded(self.rest(first, design, rng), first, lambda x: self.rest(x, design, rng), self.first.jacobian_sq)

    def rest(self, x: Tensor, design: Tensor, rng: torch.Generator | None) -> Tensor:
        """``(cells, n_stats)`` from what the first layer gave ``(cells, width)``; another number of cells has no covariates."""
        design = design if len(design) == len(x) else design.new_zeros(len(x), design.shape[1])
        hidden = x.new_zeros(0)
        for finish, layer in zip(self.finishes, self.deeper, strict=True):
            x = finish(x, rng)
            hidden = x + hidden if self.residual and x.shape == hidden.shape else x
            x = layer(hidden, design)
        return x


def cell_encoder(n_genes: int, n_out: int, n_design: int, rng: torch.Generator) -> Ladder:
    """A small encoder beside the model's, for numbers that a likelihood wants to know of each cell (one hidden layer of 64)."""
    return Ladder(n_genes, n_out, n_design, [Finish(64, "layer", "leaky_relu", 0.0)], (64,), rng)
