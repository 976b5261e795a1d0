"""Sparse latents by an L1 penalty."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..parts import option, part
from ..records import Cells, Encoded, Latent
from .base import Bottleneck, LatentWeights, point


@part("bottleneck", "sparse")
class Sparse(Bottleneck):
    """Sparse coding: rectified units with an L1 penalty and unit-norm decoder columns (Olshausen & Field 1996).

    The latent is ``max(a, 0)`` of the encoder's output a, so inactive units are exactly zero. An active unit costs ``weight``
    nats per unit of activation. The columns of the decoder's first weight matrix are scaled to norm one; otherwise the penalty
    could be evaded by a small latent and large columns. For a linear decoder with orthonormal columns D and a Gaussian
    likelihood with variance one, the optimal latent of a cell is ``max(Dᵀx − weight, 0)``, a one-sided soft threshold.

    A norm layer in the decoder would undo the scale of the latent and with it the penalty. Use a linear decoder
    (``MLP(decoder_hidden=())``), whose columns are then gene programmes, or ``norm="none"``. The training history has the share
    of active units as ``active``. doi:10.1038/381607a0.
    """

    dim: int = option("size of the latent", default=64, low=1)
    weight: float = option("L1 penalty, nats per unit of activation", default=0.1, low=0.0)
    k: int | None = option("greatest number of active units in a cell (none: any)", default=None, low=1)

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
        if self.k is not None and self.k < self.dim:
            largest = z.topk(self.k, 1)
            z = torch.zeros_like(z).scatter(1, largest.indices, largest.values)
        active = (z > 0).to(z.dtype).mean()
        return point(z)._replace(penalty=self.weight * z.sum(1), history={"active": active})

    def to_decoder(self, z: Tensor, decoder: LatentWeights) -> Tensor:
        return z / decoder.latent_weights().norm(dim=0).clamp_min(1e-12)
