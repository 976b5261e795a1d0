"""Layers that networks are made of. Weights that face genes are ``(genes, width)``; initial draws come from one generator."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, elu, gelu, leaky_relu, linear, relu, selu, silu, softplus

from .ops.linear import sparse_linear
from .records import EncoderInput

_FUNCTIONS = (relu, leaky_relu, elu, selu, gelu, silu, softplus, torch.sigmoid, torch.tanh)
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {f.__name__: f for f in _FUNCTIONS}


class BatchNorm(nn.BatchNorm1d):
    """Batch norm that uses the running statistics for a lone cell in training, since one cell has no spread."""

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


class Named(nn.Module):
    """Modules or parameters by name, in order; any name will do, also those that torch refuses, such as ``type``."""

    def __init__(self, values: Mapping[str, nn.Module | nn.Parameter]) -> None:
        super().__init__()
        self.names = tuple(values)
        for name, value in values.items():
            setattr(self, f"{name}_", value)

    def __getitem__(self, name: str) -> Any:
        return getattr(self, f"{name}_")

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def items(self) -> Iterator[tuple[str, Any]]:
        """Names and values."""
        return ((name, self[name]) for name in self.names)


class Dense(nn.Module):
    """A linear layer whose further inputs are covariates; as a read-out layer its weight is ``(genes, width)``."""

    def __init__(self, n_in: int, n_out: int, n_design: int, rng: torch.Generator) -> None:
        super().__init__()
        self.weight = uniform((n_out, n_in), n_in, rng)
        self.bias = nn.Parameter(torch.zeros(n_out, device=rng.device))
        self.design = nn.Parameter(torch.zeros(n_out, n_design, device=rng.device)) if n_design else None

    def forward(self, x: Tensor, design: Tensor | None = None, *, weight: Tensor | None = None) -> Tensor:
        """``(cells, n_out)``; without ``design`` covariates are at zero, and ``weight`` replaces the layer's own."""
        weight = self.weight if weight is None else weight
        if self.design is None or design is None:
            return linear(x, weight, self.bias)
        return linear(torch.cat([x, design], 1), torch.cat([weight, self.design], 1), self.bias)


class FirstLayer(nn.Module):
    """The sparse layer: counts as CSR, weights ``(genes, width)``."""

    def __init__(self, n_genes: int, n_out: int, n_design: int, rng: torch.Generator) -> None:
        super().__init__()
        self.weight = uniform((n_genes, n_out), n_genes, rng)
        self.bias = nn.Parameter(torch.zeros(n_out, device=rng.device))
        self.design = nn.Parameter(torch.zeros(n_design, n_out, device=rng.device)) if n_design else None

    def forward(self, seen: EncoderInput, design: Tensor | None, rng: torch.Generator | None = None) -> Tensor:
        """``(cells, width)``; noise that the input asks for is drawn from ``rng``."""
        out = sparse_linear(seen.counts, self.weight) + self.bias
        if seen.shift is not None:
            out = out - seen.of_cell(seen.shift @ self.weight)
        if seen.noise_sd and rng is not None:
            out = out + seen.noise_sd * self.noise(len(out), rng)
        return out if self.design is None or design is None else out + design @ self.design

    def noise(self, n: int, rng: torch.Generator) -> Tensor:
        """What unit Gaussian noise on every gene of the input adds to the output: ``(n, width)`` draws from N(0, WᵀW).

        Noise on zeros is not sparse, so where the output is narrower than the input it is drawn there: ξR with RᵀR = WᵀW has
        the same distribution as εW and needs ``width`` draws per cell. It carries the gradient of the weight, as εW would.
        """
        genes, width = self.weight.shape
        xi = torch.randn(n, min(genes, width), generator=rng, device=self.weight.device, dtype=self.weight.dtype)
        if width >= genes:
            return xi @ self.weight
        gram = self.weight.T @ self.weight
        jitter = 1e-6 * gram.diagonal().detach().mean() + torch.finfo(gram.dtype).tiny  # a unit whose weights are all zero
        factor, _ = torch.linalg.cholesky_ex(gram + jitter * torch.eye(width, device=gram.device, dtype=gram.dtype))
        return xi @ factor.T

    def jacobian_sq(self, u: Tensor) -> Tensor:
        """‖uᵀ ∂out/∂input‖² ``(cells,)`` for ``u`` ``(cells, width)``; the input is what the encoder sees."""
        return ((u @ (self.weight.T @ self.weight)) * u).sum(1)


class NormActDrop(nn.Module):
    """What follows a hidden linear layer: norm, activation, and dropout drawn from the fit's generator."""

    def __init__(self, width: int, norm: str, activation: str, dropout: float) -> None:
        super().__init__()
        self.norm: nn.Module = _NORM_LAYERS[norm](width)
        self.activation, self.dropout = ACTIVATIONS[activation], dropout

    def forward(self, x: Tensor, rng: torch.Generator | None) -> Tensor:
        """``(cells, width)``; without ``rng`` nothing is dropped."""
        x = self.activation(self.norm(x))
        if not self.training or self.dropout == 0 or rng is None:
            return x
        kept = torch.rand(x.shape, generator=rng, device=x.device) >= self.dropout
        return x * kept / (1 - self.dropout)
