"""Gaussian cost of sparse values: the target is never made dense, and the backward pass needs one matrix of residuals."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .. import threads
from ..kernels.losses import less_stored
from ..records import Counts

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def gaussian_nll(mean: Tensor, log_sd: Tensor, values: Counts, shift: Tensor | None = None) -> Tensor:
    """−log N(x; mean, sd²), summed over genes.

    Parameters
    ----------
    mean
        ``(cells, genes)``.
    log_sd
        ``(genes,)``, or ``(1,)`` if shared by all genes.
    values
        The observed values x, as CSR.
    shift
        ``(1, genes)`` or ``(cells, genes)``, subtracted from all values, zeros included; None for no shift.

    Returns
    -------
    Tensor
        ``(cells,)``, nats.
    """
    return _Gaussian.apply(mean, log_sd, values, shift)


class _Gaussian(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, mean: Tensor, log_sd: Tensor, values: Counts, shift: Tensor | None) -> Tensor:
        precision = torch.exp(-log_sd)
        z = mean.clone() if shift is None else mean + shift.detach()  # residuals as if all values were zero
        if z.device.type == "cpu":
            arrays = (t.detach().numpy() for t in (values.indptr, values.gene, values.value, z))
            threads.run(less_stored, len(values), *arrays, work=values.value.shape[0])
        else:
            z.index_put_((values.cell, values.gene), -values.value, accumulate=True)
        z *= precision  # (cells, genes): (mean − value) / sd
        ctx.save_for_backward(z, precision)
        ctx.shared = log_sd.shape[0] == 1
        n_genes = mean.shape[1]
        return 0.5 * torch.linalg.vecdot(z, z) + log_sd.sum() * (n_genes if ctx.shared else 1) + n_genes * _HALF_LOG_2PI

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        grad, (z, precision) = grads[0], ctx.saved_tensors
        d_mean = z * precision * grad[:, None] if ctx.needs_input_grad[0] else None
        d_log_sd = None
        if ctx.needs_input_grad[1] and ctx.shared:
            d_log_sd = (grad * (z.shape[1] - torch.linalg.vecdot(z, z))).sum().reshape(1)
        elif ctx.needs_input_grad[1]:
            d_log_sd = grad.sum() - grad @ z.square()
        return d_mean, d_log_sd, None, None
