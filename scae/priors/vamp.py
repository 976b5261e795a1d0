"""VampPrior: a mixture of the posteriors of learned pseudo-inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import NotFittedError
from ..keys import DataSpec
from ..parts import option, part
from ..records import Cells, Encoded
from .base import Prior, Sample, mixture_draw, mixture_log_prob, posterior


class PseudoInputs(nn.Module):
    """Pseudo-inputs ``(k, width)``; the width is that of the network's first layer, unknown until a cell is encoded."""

    def __init__(self, n: int, rng: torch.Generator) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.zeros((n, 0), device=rng.device))

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        saved = state_dict.get(f"{prefix}first")
        if saved is not None and saved.shape[0] == self.first.shape[0]:
            self.first = nn.Parameter(self.first.new_zeros(saved.shape))
        super()._load_from_state_dict(state_dict, prefix, *rest)


@part("prior", "vamp")
class Vamp(Prior):
    """VampPrior: a uniform mixture of the posteriors of learned pseudo-cells (Tomczak & Welling 2018).

    The prior that maximises the ELBO is the average posterior over all cells. The VampPrior approximates it by the posteriors of
    ``n_components`` learned pseudo-inputs (doi:10.48550/arXiv.1705.07120). The KL is estimated from one draw of the latent.

    Notes
    -----
    Pseudo-inputs are outputs of the encoder's first layer, not counts. They start at training cells plus a little noise and pass
    through the remaining layers with covariates at zero. A linear network has no remaining layers, so its components are learned
    without constraints. With batch norm, pseudo-inputs would enter the running statistics: use layer norm, the default.
    """

    n_components: int = option("number of pseudo-inputs", default=64, low=1)

    def build(self, dim: int, data: DataSpec, rng: torch.Generator) -> nn.Module:
        return PseudoInputs(self.n_components, rng)

    def start(self, weights: nn.Module, sample: Sample, rng: torch.Generator) -> None:
        encoded, _ = sample(self.n_components)
        first = encoded.first[torch.arange(self.n_components, device=encoded.first.device) % len(encoded.first)]
        noise = torch.randn(first.shape, generator=rng, device=rng.device, dtype=first.dtype)
        spread = encoded.first.std(0, correction=0)
        weights.first = nn.Parameter(first + 0.1 * spread * noise)  # noise: with few cells, copies of one cell must differ

    def log_prob(self, weights: nn.Module, z: Tensor, encoded: Encoded, cells: Cells) -> Tensor:
        mean, sd = self._components(weights, encoded)
        return mixture_log_prob(z, mean, sd, mean.new_tensor(-math.log(len(mean))))

    def sample(self, weights: nn.Module, encoded: Encoded, cells: Cells, rng: torch.Generator) -> Tensor:
        mean, sd = self._components(weights, encoded)
        return mixture_draw(mean, sd, mean.new_ones(len(mean)), len(cells), rng)

    def _components(self, weights: nn.Module, encoded: Encoded) -> tuple[Tensor, Tensor]:
        first = weights.get_parameter("first")
        if first.shape[1] != encoded.first.shape[1]:
            raise NotFittedError("the pseudo-inputs of prior 'vamp' are initialised from training cells. Fit the model first.")
        return posterior(encoded.rest(first, None))  # pseudo-inputs have no covariates
