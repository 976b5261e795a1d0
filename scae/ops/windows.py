"""Convolution of sparse counts over windows of an axis, and the mapping between features and their places on it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import threads
from ..kernels.windows import into_windows, onto_kernel
from ..records import Counts

_CHUNKS = 16


def sparse_windows(counts: Counts, kernel: Tensor, place: Tensor, n_windows: int) -> Tensor:
    """A one-dimensional convolution of sparse values with stride = kernel size; the gradient is for the kernel only.

    Parameters
    ----------
    counts
        ``(cells, genes)`` as CSR; its values have the dtype of ``kernel``.
    kernel
        ``(size, channels)``.
    place
        ``(genes,)`` int64, the place of each gene on the axis, less than ``n_windows · size``.
    n_windows
        Number of windows of ``size`` places.

    Returns
    -------
    Tensor
        ``(cells, n_windows · channels)``, with the channels of a window next to each other. An empty window is zero.
    """
    return _SparseWindows.apply(counts, kernel, place // len(kernel), place % len(kernel), n_windows)


class _SparseWindows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, counts: Counts, kernel: Tensor, window: Tensor, offset: Tensor, n_windows: int) -> Tensor:
        ctx.counts, ctx.window, ctx.offset, ctx.shape = counts, window, offset, kernel.shape
        width = kernel.shape[1]
        if kernel.device.type != "cpu":
            out = kernel.new_zeros(len(counts) * n_windows, width)
            row = counts.cell * n_windows + window[counts.gene]
            return out.index_add_(0, row, counts.value[:, None] * kernel[offset[counts.gene]]).view(
                len(counts), n_windows * width
            )
        out = kernel.new_empty(len(counts), n_windows * width)
        arrays = (counts.indptr, counts.gene, counts.value, window, offset, kernel.detach().contiguous(), out)
        threads.run(into_windows, len(counts), *(a.numpy() for a in arrays), work=out.numel())
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None, None, None]:
        counts, window, offset, grad = ctx.counts, ctx.window, ctx.offset, grads[0].contiguous()
        size, width = ctx.shape
        if grad.device.type != "cpu":
            row = counts.cell * (grad.shape[1] // width) + window[counts.gene]
            terms = counts.value[:, None] * grad.view(-1, width)[row]
            return None, grad.new_zeros(size, width).index_add_(0, offset[counts.gene], terms), None, None, None
        out = grad.new_empty(_CHUNKS, size, width)
        arrays = (counts.indptr, counts.gene, counts.value, window, offset, grad, out)
        threads.run(onto_kernel, _CHUNKS, *(a.numpy() for a in arrays), work=counts.value.shape[0] * width)
        return None, out.sum(0), None, None, None


def rearranged(x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
    """Columns of ``x`` in another order, zero where ``index`` is −1.

    Each column is used at most once, so the gradient is a rearrangement too, which is faster than torch's scatter-add.

    Parameters
    ----------
    x
        ``(cells, n)``.
    index
        ``(m,)`` int64, the column of ``x`` for each column of the result, each at most once; −1 for zeros.
    inverse
        ``(n,)`` int64, the column of the result for each column of ``x``; −1 for none.

    Returns
    -------
    Tensor
        ``(cells, m)``.
    """
    return _Rearranged.apply(x, index, inverse)


class _Rearranged(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        return _columns(x, index)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _columns(grads[0], *ctx.saved_tensors), None, None


def _columns(x: Tensor, index: Tensor) -> Tensor:
    return x.index_select(1, index.clamp_min(0)).mul_(index >= 0)
