"""What a bottleneck is."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ..batch import DataSpec, Encoded, Latent
from ..priors import Prior


class Bottleneck(ABC):
    """A code of ``dim`` numbers a cell, made from ``n_stats`` numbers of the encoder.

    The part itself is a value. What it learns (a codebook, a prior) is in the module that :meth:`build` makes and that every
    method is handed; ``weights.training`` says whether a fit is under way.
    """

    dim: int
    start_cells: int = 0  # how many encoded training cells :meth:`start` wants
    n_samples: int = 1  # how many draws a cell a loss is made of
    uses_labels: bool = False  # whether it reads the cells' labels
    unit_columns: bool = False  # the decoder takes the code through columns of norm one, so that the code's size means something

    @property
    @abstractmethod
    def n_stats(self) -> int:
        """How many numbers the encoder is to give; the first ``dim`` are the code itself."""

    def build(self, data: DataSpec, rng: torch.Generator) -> nn.Module:  # noqa: ARG002
        """Fresh weights drawn from ``rng``; none by default."""
        return nn.Module()

    def start(self, weights: nn.Module, encoded: Encoded, rng: torch.Generator) -> None:  # noqa: B027
        """Start the weights from ``start_cells`` encoded training cells, before the first step."""

    @abstractmethod
    def __call__(self, weights: nn.Module, encoded: Encoded, rng: torch.Generator | None) -> Latent:
        """The latent; a random one is drawn from ``rng``, and without it stands at its mean."""

    def after_step(self, weights: nn.Module, latent: Latent, rng: torch.Generator) -> None:  # noqa: B027
        """Change buffers, in place, after a step of the optimiser; nothing else ever changes them."""

    def bound(self, nll: Tensor, latent: Latent, warmup: float) -> Tensor:
        """The loss of each cell ``(cells,)``, nats, from ``(n_samples · cells,)``: by default the negative ELBO and penalties."""
        return (nll + warmup * latent.kl + latent.penalty).view(self.n_samples, -1).mean(0)


class WithPrior(Bottleneck):
    """A bottleneck whose prior may start from encoded cells, or read their labels."""

    prior: Prior

    @property
    def start_cells(self) -> int:  # type: ignore[override]
        return self.prior.start_cells

    @property
    def uses_labels(self) -> bool:  # type: ignore[override]
        return self.prior.uses_labels
