"""Sparse latents by an L1 penalty, and by a greatest number of active units."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..keys import DataSpec
from ..parts import option, part
from ..records import Cells, Encoded, Latent
from .base import Bottleneck, LatentWeights, point


class Step(nn.Module):
    """The number of steps taken so far, int64."""

    step: Tensor

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.register_buffer("step", torch.zeros((), dtype=torch.int64, device=device))


@part("bottleneck", "sparse")
class Sparse(Bottleneck):
    """Sparse coding: rectified units with an L1 penalty and unit-norm decoder columns (Olshausen & Field 1996).

    The latent is ``max(a, 0)`` of the encoder's output a, so inactive units are exactly zero. An active unit costs ``weight``
    nats per unit of activation. The columns of the decoder's first weight matrix are scaled to norm one; otherwise the penalty
    could be evaded by a small latent and large columns. For a linear decoder with orthonormal columns D and a Gaussian
    likelihood with variance one, the optimal latent of a cell is ``max(Dᵀx − weight, 0)``, a one-sided soft threshold.

    A large penalty makes few units active, but also shrinks them. With ``k``, only the k greatest of each cell are kept, as they
    are (Makhzani & Frey 2013, doi:10.48550/arXiv.1312.5663). A unit that is never among them would not learn, so training begins
    with all units, and their number falls to k over the first ``anneal`` steps, by the same factor each; leave the fit as many
    steps again. Losses of held-out cells are taken with k units throughout.

    A norm layer in the decoder would undo the scale of the latent and with it the penalty. Use a linear decoder
    (``MLP(decoder_hidden=())``), whose columns are then gene programmes, or ``norm="none"``. The training history has the share
    of active units as ``active``. doi:10.1038/381607a0.

    Raises
    ------
    ConfigError
        If ``k`` exceeds ``dim``.

    Examples
    --------
    >>> Sparse(dim=64, k=8).k
    8
    """

    any_value = False
    dim: int = option("size of the latent", default=64, low=1)
    weight: float = option("L1 penalty, nats per unit of activation", default=0.1, low=0.0)
    k: int | None = option("greatest number of active units in a cell (none: all)", default=None, low=1)
    anneal: int = option("steps over which this number falls from all units to k", default=500, low=1)

    def __post_init__(self) -> None:
        if self.k is not None and self.k > self.dim:
            raise ConfigError(f"bottleneck 'sparse': k is {self.k} and dim {self.dim}; allowed: k ≤ dim. Lower k or raise dim.")

    @property
    def n_stats(self) -> int:
        return self.dim

    def build(self, data: DataSpec, rng: torch.Generator) -> nn.Module:
        return nn.Module() if self.k is None else Step(rng.device)

    def __call__(
        self,
        weights: nn.Module,
        encoded: Encoded,
        cells: Cells,
        rng: torch.Generator | None,
    ) -> Latent:
        z = encoded.stats.relu()  # (cells, dim)
        if self.k is not None:
            greatest = z.topk(self._n_kept(self.k, cast(Step, weights)), 1)
            z = torch.zeros_like(z).scatter(1, greatest.indices, greatest.values)
        active = (z > 0).to(z.dtype).mean()
        return point(z)._replace(penalty=self.weight * z.sum(1), history={"active": active})

    def _n_kept(self, k: int, weights: Step) -> int:
        share = min(int(weights.step) / self.anneal, 1.0) if weights.training else 1.0
        return round(self.dim * (k / self.dim) ** share)

    def to_decoder(self, z: Tensor, decoder: LatentWeights) -> Tensor:
        return z / decoder.latent_weights().norm(dim=0).clamp_min(1e-12)

    def after_step(self, weights: nn.Module, latent: Latent, rng: torch.Generator) -> None:
        if self.k is not None:
            cast(Step, weights).step.add_(1)
