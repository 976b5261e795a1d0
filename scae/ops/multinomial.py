"""Multinomial draws from a given generator, which ``torch.distributions.Multinomial`` does not support."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad


def multinomial(total: Tensor, share: Tensor, rng: torch.Generator) -> Tensor:
    """Multinomial draws by recursive binomial splits: between halves of the genes, then halves of halves, and so on.

    Parameters
    ----------
    total
        ``(cells,)``, total counts, whole numbers.
    share
        ``(cells, genes)``, probabilities that sum to one.
    rng
        Source of all random draws.

    Returns
    -------
    Tensor
        ``(cells, genes)``, whole numbers in the dtype of ``share``.
    """
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
