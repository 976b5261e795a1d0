"""From a decoder's last hidden layer to costs, with the gradient computed on the way: on the CPU, in float32.

A step by the definitions makes a dozen matrices of cells × genes. Here the read-outs, which the gradient overwrites, are the only
one: see :mod:`scae.kernels.fused`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .. import threads
from ..kernels import fused as kernels
from ..kernels.links import LINKS
from ..records import Affine, Counts
from .products import product_transposed, transposed_product

Raw = Tensor | Affine


def takes(*raw: Raw) -> bool:
    """Whether the kernels can take these read-outs."""
    tensors = (r.x if isinstance(r, Affine) else r for r in raw)
    return all(t.device.type == "cpu" and t.dtype == torch.float32 for t in tensors)


def nb(mean: Raw, link: str, exposure: Tensor, log_theta: Tensor, counts: Counts) -> Tensor:
    """−log NB(x; μ, θ), summed over genes.

    Parameters
    ----------
    mean
        Read-outs of the mean ``(cells, genes)``.
    link, exposure
        How they become means, see :data:`scae.kernels.links.LINKS`, at what exposure ``(cells, 1)``.
    log_theta
        ``(genes,)`` or ``(cells, genes)``, log of the inverse dispersion θ.
    counts
        The observed counts.

    Returns
    -------
    Tensor
        ``(cells,)``, nats.
    """
    return _apply(kernels.nb, counts, (mean,), (link, exposure), log_theta)


def zinb(mean: Raw, zero: Raw, link: str, exposure: Tensor, log_theta: Tensor, counts: Counts) -> Tensor:
    """−log ZINB(x; μ, θ, π), summed over genes; ``zero`` are the logits of π, and the rest is as in :func:`nb`."""
    return _apply(kernels.zinb, counts, (mean, zero), (link, exposure), log_theta)


def poisson(mean: Raw, link: str, exposure: Tensor, counts: Counts) -> Tensor:
    """−log Poisson(x; μ), summed over genes; arguments as in :func:`nb`."""
    return _apply(kernels.poisson, counts, (mean,), (link, exposure))


def bernoulli(logit: Raw, counts: Counts) -> Tensor:
    """−log Bernoulli(x > 0; σ(logit)), summed over genes."""
    return _apply(kernels.bernoulli, counts, (logit,))


def multinomial(logit: Raw, counts: Counts) -> Tensor:
    """−log Multinomial(x; softmax(logit)) of the counts of each cell given their total."""
    return _apply(kernels.multinomial, counts, (logit,))


def _apply(
    kernel: Callable[..., None],
    counts: Counts,
    raw: tuple[Raw, ...],
    means: tuple[str, Tensor] | None = None,
    log_theta: Tensor | None = None,
) -> Tensor:
    linked = () if means is None else ((LINKS[means[0]], means[1].detach().reshape(-1).numpy()),)
    parts = [(r.x, r.weight, r.bias) if isinstance(r, Affine) else (r, None, None) for r in raw]
    return _Fused.apply(kernel, counts, linked, log_theta, *(tensor for part in parts for tensor in part))


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, kernel: Callable[..., None], counts: Counts, linked: tuple[Any, ...], log_theta: Tensor | None,
        *parts: Tensor | None,
    ) -> Tensor:  # fmt: skip
        xs, weights, biases = parts[::3], parts[1::3], parts[2::3]
        slopes = [
            _computed(x, w, b) for x, w, b in zip(xs, weights, biases, strict=True)
        ]  # read-outs; the kernel overwrites them
        nll = slopes[0].new_empty(len(counts))
        arrays = [t.numpy() for t in (counts.indptr, counts.gene, counts.value, nll)]
        dispersion: list[Tensor] = []
        if log_theta is not None:
            rows = torch.atleast_2d(log_theta.detach()).contiguous()
            dispersion = [rows, rows.exp(), torch.empty_like(slopes[0])]
        thetas = (tuple(t.numpy() for t in dispersion),) if dispersion else ()
        threads.run(kernel, len(counts), *arrays, *linked, *(t.numpy() for t in slopes), *thetas, work=8 * slopes[0].numel())
        ctx.per_gene = log_theta is not None and log_theta.dim() == 1
        ctx.save_for_backward(*slopes, *xs, *weights, *dispersion[2:])
        return nll

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad, n = grads[0].contiguous(), len(ctx.needs_input_grad[4:]) // 3
        saved = ctx.saved_tensors
        d_theta = None
        if ctx.needs_input_grad[3]:
            d_theta = grad @ saved[-1] if ctx.per_gene else grad[:, None] * saved[-1]
        out: list[Tensor | None] = [None, None, None, d_theta]
        for i in range(n):
            out += _backward(grad, saved[i], saved[n + i], saved[2 * n + i], ctx.needs_input_grad[4 + 3 * i : 7 + 3 * i])
        return tuple(out)


def _computed(x: Any, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    return x.detach().clone(memory_format=torch.contiguous_format) if weight is None else product_transposed(x, weight, bias)


def _backward(grad: Tensor, slope: Tensor, x: Tensor, weight: Tensor | None, needed: tuple[bool, ...]) -> list[Tensor | None]:
    """Gradients of read-outs, or of what they are computed from, from the slopes of each cell's cost ``(cells, genes)``."""
    by_cell = grad[:, None]
    if weight is None:
        return [slope * by_cell, None, None]
    d_x = product_transposed(slope, weight.T).mul_(by_cell) if needed[0] else None
    d_weight = transposed_product(slope, x * by_cell) if needed[1] else None
    return [d_x, d_weight, grad @ slope if needed[2] else None]
