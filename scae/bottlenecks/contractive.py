"""A code that changes little where a cell changes little."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..parts import option, part
from ..records import Cells, Encoded, Latent
from .base import Bottleneck, point

METHODS = ("probe", "exact")


@part("bottleneck", "contractive")
class Contractive(Bottleneck):
    """A point whose squared Jacobian norm ‖∂z/∂x‖² is a cost: the contractive autoencoder (Rifai 2011).

    ``x`` is the encoder's input, after transform and standardisation, of every gene, zeros included; covariates are held. The
    dense Jacobian ``(dim, genes)`` is never formed: a backward pass down to the first layer gives u = ∂z/∂first, and the
    network knows ‖uᵀ ∂first/∂x‖². ``"exact"`` takes one such pass for each latent dimension. ``"probe"`` takes one in all, with
    u = ∂(v·z)/∂first for random signs v: its mean over v is the exact norm (Hutchinson 1989). Without a generator the probe
    stands at that mean.

    With batch norm a cell's code depends on its batch-mates. In training the pass is then that of the sum over the minibatch's
    codes, the dependence through the batch's mean and variance included; once fitted those are constants and the norm is exact.

    A small code with a decoder of large weights escapes the cost: the published remedy is a tied network.
    """

    dim: int = option("size of the latent", default=32, low=1)
    weight: float = option("weight of the squared Jacobian norm", default=0.1, low=0.0)
    method: str = option("one random probe a step, or one pass for each latent dimension", default="probe", choices=METHODS)

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
        latent = point(encoded.stats)
        if not self.weight:
            return latent
        signs = None
        if self.method == "probe" and rng is not None:
            bits = torch.rand(encoded.stats.shape, generator=rng, device=encoded.stats.device) < 0.5
            signs = torch.where(bits, 1.0, -1.0).to(encoded.stats.dtype)
        norm_sq = jacobian_norm_sq(encoded, signs, create_graph=weights.training)
        return latent._replace(penalty=self.weight * norm_sq, history={"jacobian_sq": norm_sq.detach().mean()})


def jacobian_norm_sq(encoded: Encoded, signs: Tensor | None = None, *, create_graph: bool = False) -> Tensor:
    """‖∂stats/∂input‖² of each cell, ``(cells,)``, exactly or by a probe; also where autograd is switched off.

    Parameters
    ----------
    encoded
        What the encoder made of some cells.
    signs
        ``(cells, n_stats)`` of ±1: a probe. None: one backward pass for each of the ``n_stats`` numbers.
    create_graph
        Keep what a gradient of the norm itself needs.
    """
    recorded = torch.is_grad_enabled() and encoded.stats.requires_grad
    create_graph = create_graph and recorded
    with torch.enable_grad():
        first = encoded.first if recorded else encoded.first.detach().requires_grad_()
        stats = encoded.stats if recorded else encoded.rest(first, encoded.design)  # (cells, n_stats)
        probes = list(stats.T) if signs is None else [(signs * stats).sum(1)]
        slopes = [
            torch.autograd.grad(probe.sum(), first, retain_graph=True, create_graph=create_graph)[0] for probe in probes
        ]  # (cells, width) each
    return torch.stack([encoded.jacobian_sq(u) for u in slopes]).sum(0)
