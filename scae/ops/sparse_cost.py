"""Costs of one read-out: those of a zero everywhere, then those of stored counts in their places."""

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

    def __call__(self, raw: Tensor, counts: Counts) -> Tensor:
        """The costs ``(cells,)``, nats, summed over genes, of a batch's counts given read-outs ``(cells, genes)``."""
        return _SparseCost.apply(raw, counts, self)


class _SparseCost(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, raw: Tensor, counts: Counts, of: SparseCost) -> Tensor:
        cost, slope = of.zero(raw)
        if cost.device.type == "cpu":
            tensors = (counts.indptr, counts.gene, counts.value, raw.contiguous(), cost, slope)
            threads.run(of.stored, len(counts), *(t.detach().numpy() for t in tensors), work=8 * counts.value.shape[0])
        else:
            some = counts.value > 0
            cell, gene = counts.cell[some], counts.gene[some]
            here = of.at(raw[cell, gene].double(), counts.value[some].double())
            cost[cell, gene], slope[cell, gene] = (t.to(cost.dtype) for t in here)
        ctx.save_for_backward(slope)
        return cost.sum(1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0][:, None] * ctx.saved_tensors[0], None, None
