"""Layers of networks. Weights between genes and units have shape ``(genes, width)``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, elu, gelu, leaky_relu, relu, selu, silu, softplus

from .ops.linear import sparse_linear
from .records import Affine, EncoderInput

_FUNCTIONS = (relu, leaky_relu, elu, selu, gelu, silu, softplus, torch.sigmoid, torch.tanh)
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {f.__name__: f for f in _FUNCTIONS}


class BatchNorm(nn.BatchNorm1d):
    """Batch norm that uses the running statistics for a single cell in training, since one cell has no variance."""

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 1 or not self.training:
            return super().forward(x)
        return batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


_NORM_LAYERS: dict[str, Callable[[int], nn.Module]] = {"layer": nn.LayerNorm, "batch": BatchNorm, "none": nn.Identity}
NORMS = tuple(_NORM_LAYERS)


def uniform(shape: tuple[int, ...], fan_in: int, rng: torch.Generator) -> nn.Parameter:
    """A new parameter of the given shape, drawn from U(−1/√fan_in, 1/√fan_in)."""
    bound = 1 / math.sqrt(max(fan_in, 1))
    return nn.Parameter((torch.rand(shape, generator=rng, device=rng.device) * 2 - 1) * bound)


class Named(nn.Module):
    """Modules or parameters by name, in order. Any name is allowed, even one that torch refuses, such as ``type``."""

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
    """A linear layer with covariates as additional inputs; as a read-out layer its weight is ``(genes, width)``."""

    def __init__(self, n_in: int, n_out: int, n_design: int, rng: torch.Generator) -> None:
        super().__init__()
        self.weight = uniform((n_out, n_in), n_in, rng)
        self.bias = nn.Parameter(torch.zeros(n_out, device=rng.device))
        self.design = nn.Parameter(torch.zeros(n_out, n_design, device=rng.device)) if n_design else None

    def forward(self, x: Tensor, design: Tensor | None = None, *, weight: Tensor | None = None) -> Tensor:
        """Apply the layer.

        Parameters
        ----------
        x
            ``(cells, n_in)``.
        design
            ``(cells, n_design)``, covariates; None sets them to zero.
        weight
            ``(n_out, n_in)``, used in place of the layer's own weight.

        Returns
        -------
        Tensor
            ``(cells, n_out)``.
        """
        return self.affine(x, design, weight=weight).value

    def affine(self, x: Tensor, design: Tensor | None = None, *, weight: Tensor | None = None) -> Affine:
        """What :meth:`forward` computes, not yet computed."""
        weight = self.weight if weight is None else weight
        if self.design is None or design is None:
            return Affine(x, weight, self.bias)
        return Affine(torch.cat([x, design], 1), torch.cat([weight, self.design], 1), self.bias)


def computed(readouts: Mapping[str, Affine]) -> dict[str, Tensor]:
    """Linear read-outs as matrices, ``(cells, genes)`` each."""
    return {name: readout.value for name, readout in readouts.items()}


class FirstLayer(nn.Module):
    """The first layer of an encoder: sparse counts times a weight ``(genes, width)``."""

    def __init__(self, n_genes: int, n_out: int, n_design: int, rng: torch.Generator) -> None:
        super().__init__()
        self.weight = uniform((n_genes, n_out), n_genes, rng)
        self.bias = nn.Parameter(torch.zeros(n_out, device=rng.device))
        self.design = nn.Parameter(torch.zeros(n_design, n_out, device=rng.device)) if n_design else None

    def forward(self, seen: EncoderInput, design: Tensor | None, rng: torch.Generator | None = None) -> Tensor:
        """Apply the layer to sparse input.

        Parameters
        ----------
        seen
            The encoder's input.
        design
            ``(cells, n_design)``, covariates; None sets them to zero.
        rng
            Source of the noise ``seen.noise_sd``; None adds no noise.

        Returns
        -------
        Tensor
            ``(cells, width)``.
        """
        out = sparse_linear(seen.counts, self.weight) + self.bias
        if seen.shift is not None:
            out = out - seen.of_cell(seen.shift @ self.weight)
        if seen.noise_sd and rng is not None:
            out = out + seen.noise_sd * self.noise(len(out), rng)
        return out if self.design is None or design is None else out + design @ self.design

    def noise(self, n: int, rng: torch.Generator) -> Tensor:
        """Draws ``(n, width)`` of what unit Gaussian noise on every gene of the input adds to the output, N(0, WᵀW).

        Noise on every gene would make the input dense. Where the output is narrower than the input, the noise is therefore drawn
        at the output: ξR with RᵀR = WᵀW has the same distribution as εW but needs only ``width`` draws per cell. The gradient
        with respect to the weight is kept.
        """
        genes, width = self.weight.shape
        xi = torch.randn(n, min(genes, width), generator=rng, device=self.weight.device, dtype=self.weight.dtype)
        if width >= genes:
            return xi @ self.weight
        gram = self.weight.T @ self.weight
        # Keeps the factor defined where all weights of a unit are zero.
        jitter = 1e-6 * gram.diagonal().detach().mean() + torch.finfo(gram.dtype).tiny
        factor, _ = torch.linalg.cholesky_ex(gram + jitter * torch.eye(width, device=gram.device, dtype=gram.dtype))
        return xi @ factor.T

    def jacobian_sq(self, u: Tensor) -> Tensor:
        """‖uᵀ ∂out/∂input‖² ``(cells,)`` for ``u`` ``(cells, width)``, where the input is on the encoder's scale."""
        return ((u @ (self.weight.T @ self.weight)) * u).sum(1)


class NormActDrop(nn.Module):
    """Norm, activation and dropout after a hidden linear layer."""

    def __init__(self, width: int, norm: str, activation: str, dropout: float) -> None:
        super().__init__()
        self.norm: nn.Module = _NORM_LAYERS[norm](width)
        self.activation, self.dropout = ACTIVATIONS[activation], dropout

    def forward(self, x: Tensor, rng: torch.Generator | None) -> Tensor:
        """``(cells, width)`` from ``(cells, width)``; dropout draws from ``rng``, and without it nothing is dropped."""
        x = self.activation(self.norm(x))
        if not self.training or self.dropout == 0 or rng is None:
            return x
        kept = torch.rand(x.shape, generator=rng, device=x.device) >= self.dropout
        return x * kept.to(x.dtype).div_(1 - self.dropout)
