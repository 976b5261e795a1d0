"""Costs that depend on one read-out: the cost of a zero everywhere, overwritten at stored counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .. import threads
from ..records import Counts

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class SparseCost:
    """Negative log probability of a count given one read-out, and its derivative.

    Attributes
    ----------
    zero
        Cost of a zero and its derivative, from read-outs ``(cells, genes)``; both newly allocated.
    stored
        Kernel for the CPU that writes cost and derivative at counts above zero.
    at
        The same for other devices: cost and derivative from read-outs and counts ``(stored,)``, float64.
    """

    zero: Callable[[Tensor], Pair]
    stored: Callable[..., None]
    at: Callable[[Tensor, Tensor], Pair]

    def __call__(self, raw: Tensor, counts: Counts) -> Tensor:
        """Cost ``(cells,)`` of counts given read-outs ``(cells, genes)``, nats, summed over genes."""
        return _SparseCost.apply(raw, counts, self)


class _SparseCost(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, raw: Tensor, counts: Counts, of: SparseCost) -> Tensor:
        cost, slope = of.zero(raw)
        if cost.device.type == "cpu":
            tensors = (counts.indptr, counts.gene, counts.value, raw.contiguous(), cost, slope)
            threads.run(of.stored, len(counts), *(t.detach().numpy() for t in tensors), work=8 * counts.value.shape[0])
        else:
            positive = counts.value > 0
            cell, gene = counts.cell[positive], counts.gene[positive]
            here = of.at(raw[cell, gene].double(), counts.value[positive].double())
            cost[cell, gene], slope[cell, gene] = (t.to(cost.dtype) for t in here)
        ctx.save_for_backward(slope)
        return cost.sum(1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0][:, None] * ctx.saved_tensors[0], None, None
