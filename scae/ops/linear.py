"""Sparse counts times weights: the first layer of every encoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import threads
from ..kernels import csr
from ..kernels.linear import times
from ..records import Counts


def sparse_linear(counts: Counts, weight: Tensor) -> Tensor:
    """``X @ weight`` for sparse X; the gradient is for the weight only.

    Parameters
    ----------
    counts
        ``(cells, genes)`` as CSR; its values have the dtype of ``weight``.
    weight
        ``(genes, width)``.

    Returns
    -------
    Tensor
        ``(cells, width)``.
    """
    return _SparseLinear.apply(counts, weight)


class _SparseLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, counts: Counts, weight: Tensor) -> Tensor:
        ctx.counts = counts
        if weight.device.type != "cpu":
            return _as_torch(counts) @ weight
        return _multiply(counts.indptr, counts.gene, counts.value, weight, len(counts))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        counts, grad = ctx.counts, grads[0].contiguous()
        if grad.device.type != "cpu":
            return None, _as_torch(counts).transpose(0, 1).to_sparse_csr() @ grad
        by_gene = csr.transpose(counts.indptr.numpy(), counts.gene.numpy(), counts.value.numpy(), counts.n_genes)
        start, cell, value = map(torch.from_numpy, by_gene)
        return None, _multiply(start, cell, value, grad, counts.n_genes)


def _as_torch(counts: Counts) -> Tensor:
    size = (len(counts), counts.n_genes)
    return torch.sparse_csr_tensor(counts.indptr, counts.gene, counts.value, size, check_invariants=False)


def _multiply(indptr: Tensor, column: Tensor, value: Tensor, weight: Tensor, rows: int) -> Tensor:
    out = weight.new_empty(rows, weight.shape[1])
    arrays = (indptr, column, value, weight.detach(), out)
    threads.run(times, rows, *(a.numpy() for a in arrays), work=value.shape[0] * weight.shape[1] // 8)
    return out
