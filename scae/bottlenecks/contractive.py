"""A latent that changes little when the input changes little."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..draws import uniform
from ..parts import option, part
from ..records import Cells, Encoded, Latent
from .base import Bottleneck, point

METHODS = ("probe", "exact")


@part("bottleneck", "contractive")
class Contractive(Bottleneck):
    """Contractive autoencoder: the squared Jacobian norm ‖∂z/∂x‖² of the latent is penalised (Rifai 2011).

    Here x is the encoder's input on its own scale, all genes, zeros included; covariates are held constant. The dense Jacobian
    ``(dim, genes)`` is never computed: a backward pass to the first layer gives u = ∂z/∂first, and the network knows
    ‖uᵀ ∂first/∂x‖². Method ``"exact"`` needs one such pass per latent dimension. ``"probe"`` needs a single one, with
    u = ∂(v·z)/∂first for random signs v, whose expectation is the exact norm (Hutchinson 1989). Without a generator the exact
    norm is used.

    With batch norm, a cell's latent depends on the other cells of its minibatch. In training, the penalty is then the gradient
    of the sum of all latents in the minibatch, including the dependence through the batch mean and variance. After the fit,
    these are constants and the norm is exact.

    The penalty can be evaded by shrinking the latent and enlarging the decoder's weights. Rifai et al. prevent this with tied
    weights: use ``network="tied"``.
    """

    is_identity = True
    dim: int = option("size of the latent", default=32, low=1)
    weight: float = option("weight of the squared Jacobian norm in the loss", default=0.1, low=0.0)
    method: str = option("one random probe, or exact: one pass per latent dimension", default="probe", choices=METHODS)

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
            bits = uniform(encoded.stats, rng) < 0.5
            signs = torch.where(bits, 1.0, -1.0).to(encoded.stats.dtype)
        norm_sq = jacobian_norm_sq(encoded, signs, create_graph=weights.training)
        return latent._replace(penalty=self.weight * norm_sq, history={"jacobian_sq": norm_sq.detach().mean()})


def jacobian_norm_sq(encoded: Encoded, signs: Tensor | None = None, *, create_graph: bool = False) -> Tensor:
    """‖∂stats/∂input‖² of each cell, exactly or by a probe; works under ``torch.no_grad`` too.

    Parameters
    ----------
    encoded
        Output of the encoder.
    signs
        ``(cells, n_stats)`` of ±1: a random probe. None: exact, with one backward pass per column of ``stats``.
    create_graph
        Keep the graph, so that the norm itself can be differentiated.

    Returns
    -------
    Tensor
        ``(cells,)``, squared norms.
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
