"""Costs of one read-out: those of a zero everywhere, then those of stored counts in their places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import threads
from ..batch import CountBatch

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Cost:
    """Negative log probability of a count given one read-out, and its slope in that read-out.

    Attributes
    ----------
    zero
        Read-outs ``(cells, genes)`` to cost and slope of a zero, in memory of their own.
    stored
        The kernel that writes cost and slope of counts above zero, on the CPU.
    at
        The same elsewhere: read-outs and counts ``(stored,)`` in float64 to cost and slope.
    """

    zero: Callable[[Tensor], Pair]
    stored: Callable[..., None]
    at: Callable[[Tensor, Tensor], Pair]

    def __call__(self, raw: Tensor, batch: CountBatch) -> Tensor:
        """The costs ``(cells,)``, nats, summed over genes, of a batch's counts given read-outs ``(cells, genes)``."""
        return _Overwritten.apply(raw, batch, self)


class _Overwritten(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, raw: Tensor, batch: CountBatch, of: Cost) -> Tensor:
        cost, slope = of.zero(raw)
        if cost.device.type == "cpu":
            tensors = (batch.indptr, batch.gene, batch.value, raw.contiguous(), cost, slope)
            threads.run(of.stored, len(batch), *(t.detach().numpy() for t in tensors), work=8 * batch.value.shape[0])
        else:
            some = batch.value > 0
            cell, gene = batch.cell[some], batch.gene[some]
            here = of.at(raw[cell, gene].double(), batch.value[some].double())
            cost[cell, gene], slope[cell, gene] = (t.to(cost.dtype) for t in here)
        ctx.save_for_backward(slope)
        return cost.sum(1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0][:, None] * ctx.saved_tensors[0], None, None
