"""Multinomial: how a cell's molecules, of which the number is given, fall on the genes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints
from torch.nn.functional import log_softmax, pad

from ..batch import CountBatch, GeneStatistics
from ..ops.log_mean import mean_log1p
from ..parts import part
from .base import CELL_GENE, LINKS, Likelihood, Parameters


class Shared(Distribution):
    """Counts given their total, which may differ from cell to cell: log_prob takes the total of its value.

    ``mean`` and draws refer to ``total`` ``(cells, 1)``, ``logits`` ``(cells, genes)``.
    """

    arg_constraints = {}  # noqa: RUF012
    support = constraints.nonnegative_integer

    def __init__(self, total: Tensor, logits: Tensor, ways: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.total, self.log_share, self.ways = total, log_softmax(logits, 1), ways
        super().__init__(logits.shape[:1], logits.shape[1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.total * self.log_share.exp()

    def log_prob(self, value: Tensor) -> Tensor:
        n = value.sum(1)
        return torch.lgamma(n + 1) - torch.lgamma(value + 1).sum(1) + self.ways(value, self.log_share)


@part("likelihood", "multinomial")
class Multinomial(Likelihood):
    """Molecules fall on genes by their shares, given how many there are (Townes 2019, doi:10.1186/s13059-019-1861-6).

    The probability is that of a cell's counts given their own total; the mean and draws are at the exposure, which is that
    total unless a size factor says otherwise.
    """

    of_molecules = True

    def parameters(self) -> dict[str, str]:
        return {"mean": CELL_GENE}

    def start(self, stats: GeneStatistics) -> dict[str, Tensor]:
        return {"mean": LINKS["softmax"].start(stats)}

    def dist(self, p: Parameters) -> Distribution:
        return Shared(p.library, p["mean"], lambda value, log_share: (value * log_share).sum(1))

    def sample(self, p: Parameters, rng: torch.Generator) -> Tensor:
        return scatter(whole(p.library[:, 0], rng), log_softmax(p["mean"], 1).exp(), rng)

    def mean_log1p(self, p: Parameters, scale: float) -> Tensor:
        total = p.library.round()
        minus_n = -total.expand_as(p["mean"])  # a binomial is a negative binomial with θ = −n
        return mean_log1p(log_softmax(p["mean"], 1).exp() * total, minus_n, scale)

    def nll(self, p: Parameters, batch: CountBatch) -> Tensor:
        logits = p["mean"]
        hit = batch.value * logits[batch.cell, batch.gene] - torch.lgamma(batch.value + 1)
        total = batch.totals()[:, 0]
        return total * torch.logsumexp(logits, 1) - torch.lgamma(total + 1) - by_cell(hit, batch)


def by_cell(value: Tensor, batch: CountBatch) -> Tensor:
    """Sums ``(cells,)`` of a number for each stored entry."""
    return value.new_zeros(len(batch)).index_add(0, batch.cell, value)


def whole(total: Tensor, rng: torch.Generator) -> Tensor:
    """Whole numbers with the mean that is asked for: rounded up as often as the fraction says."""
    return (total + torch.rand(total.shape, generator=rng, device=total.device, dtype=total.dtype)).floor()


def scatter(total: Tensor, share: Tensor, rng: torch.Generator) -> Tensor:
    """Multinomial draws ``(cells, genes)`` of whole totals ``(cells,)``: halves, halves of halves … by binomial draws."""
    depth = max(share.shape[1] - 1, 1).bit_length()
    levels = [pad(share.detach().double(), (0, 2**depth - share.shape[1]))]
    for _ in range(depth):
        levels.append(levels[-1].unflatten(1, (-1, 2)).sum(2))  # the share of each pair
    drawn = total.detach().double()[:, None]
    for pairs in reversed(levels[:-1]):
        left = pairs[:, ::2]
        chance = (left / (left + pairs[:, 1::2]).clamp_min(1e-300)).clamp(0.0, 1.0)
        to_left = torch.binomial(drawn, chance, generator=rng)
        drawn = torch.stack([to_left, drawn - to_left], 2).flatten(1)
    return drawn[:, : share.shape[1]].to(share.dtype)
