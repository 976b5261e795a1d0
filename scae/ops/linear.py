"""Sparse batch × weight: the first layer of every encoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import threads
from ..batch import CountBatch
from ..kernels import csr
from ..kernels.linear import times


def sparse_linear(batch: CountBatch, weight: Tensor) -> Tensor:
    """``X @ weight`` for the stored values X of a batch; gradient for the weight only.

    Parameters
    ----------
    batch
        ``(cells, genes)`` as CSR; its values have the dtype of ``weight``.
    weight
        ``(genes, width)``.

    Returns
    -------
    Tensor
        ``(cells, width)``.
    """
    return _SparseLinear.apply(batch, weight)


class _SparseLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, batch: CountBatch, weight: Tensor) -> Tensor:
        ctx.batch = batch
        if weight.device.type != "cpu":
            return _as_torch(batch) @ weight
        return _multiply(batch.indptr, batch.gene, batch.value, weight, len(batch))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        batch, grad = ctx.batch, grads[0].contiguous()
        if grad.device.type != "cpu":
            return None, _as_torch(batch).transpose(0, 1).to_sparse_csr() @ grad
        by_gene = csr.transpose(batch.indptr.numpy(), batch.gene.numpy(), batch.value.numpy(), batch.n_genes)
        start, cell, value = map(torch.from_numpy, by_gene)
        return None, _multiply(start, cell, value, grad, batch.n_genes)


def _as_torch(batch: CountBatch) -> Tensor:
    size = (len(batch), batch.n_genes)
    return torch.sparse_csr_tensor(batch.indptr, batch.gene, batch.value, size, check_invariants=False)


def _multiply(indptr: Tensor, column: Tensor, value: Tensor, weight: Tensor, rows: int) -> Tensor:
    out = weight.new_empty(rows, weight.shape[1])
    arrays = (indptr, column, value, weight.detach(), out)
    threads.run(times, rows, *(a.numpy() for a in arrays), work=value.shape[0] * weight.shape[1] // 8)
    return out
