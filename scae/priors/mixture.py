"""A learned mixture of normal distributions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from ..keys import DataSpec
from ..parts import option, part
from ..records import Cells, Encoded
from .base import Components, Prior, components, mixture_draw, mixture_log_prob


@part("prior", "mixture")
class Mixture(Prior):
    """A learned mixture of normal distributions, for clustered latents (Dilokthanakul 2016; Jiang 2017).

    Means, standard deviations and mixture weights are learned with the model; component assignments are summed out. The KL has
    no closed form and is estimated from one draw of the latent. doi:10.48550/arXiv.1611.02648, doi:10.24963/ijcai.2017/273.
    """

    n_components: int = option("number of components", default=16, low=1)

    def build(self, dim: int, data: DataSpec, rng: torch.Generator) -> nn.Module:
        weights = Components(self.n_components, dim, rng)
        if self.n_components > 1:  # a single component has weight one
            weights.logit = nn.Parameter(torch.zeros(self.n_components, device=rng.device))
        return weights

    def log_prob(self, weights: nn.Module, z: Tensor, encoded: Encoded, cells: Cells) -> Tensor:
        mean, sd = components(weights)
        return mixture_log_prob(z, mean, sd, self._log_weight(weights, mean))

    def sample(self, weights: nn.Module, encoded: Encoded, cells: Cells, rng: torch.Generator) -> Tensor:
        mean, sd = components(weights)
        return mixture_draw(mean, sd, self._log_weight(weights, mean).exp(), len(cells), rng)

    def _log_weight(self, weights: nn.Module, like: Tensor) -> Tensor:
        logit = weights.get_parameter("logit") if self.n_components > 1 else like.new_zeros(1)
        return log_softmax(logit, 0)
