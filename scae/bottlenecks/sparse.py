"""Sparse codes by an L1 cost."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..parts import option, part
from ..records import Cells, Encoded, Latent
from .base import Bottleneck, LatentWeights, point


@part("bottleneck", "sparse")
class Sparse(Bottleneck):
    """Rectified units under an L1 cost, decoded through columns of norm one: few units are on in a cell (Olshausen 1996).

    The code is ``max(a, 0)`` of the encoder's numbers, so that a unit that is off is zero to the bit, and each unit that is on
    costs ``weight`` nats per unit of activation. Without a norm the decoder would escape that cost by large columns and a small
    code, so the decoder's first columns have norm one. Then, for a linear decoder with orthonormal columns ``D`` and a Gaussian
    likelihood of variance one, the best code of a cell is ``max(Dᵀx − weight, 0)``: the one-sided soft threshold.

    A norm layer in the decoder would undo the scale of the code, and with it the cost: take a linear decoder
    (``MLP(decoder_hidden=())``, whose columns are then gene programmes) or ``norm="none"``. The history's ``active`` is the
    share of units that are on.
    """

    dim: int = option("size of the latent", default=64, low=1)
    weight: float = option("weight of the cost of sparsity", default=0.1, low=0.0)

    @property
    def n_stats(self) -> int:
        return self.dim

    def __call__(
        self,
        weights: nn.Module,
        encoded: Encoded,
        cells: Cells,
        rng: torch.Generator | None,
    ) -> Latent:
        z = encoded.stats.relu()  # (cells, dim)
        active = (z > 0).to(z.dtype).mean()
        return point(z)._replace(penalty=self.weight * z.sum(1), history={"active": active})

    def to_decoder(self, z: Tensor, decoder: LatentWeights) -> Tensor:
        return z / decoder.latent_weights().norm(dim=0).clamp_min(1e-12)
