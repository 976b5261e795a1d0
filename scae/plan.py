"""How to train, as a value."""

from __future__ import annotations

import math

import torch

from .errors import ConfigError
from .parts import option, record

KEPT = ("best", "last")  # without held-out cells, the best are the last
GIVEN = ("latent", "counts")
OPTIMIZERS = {
    "adamw": lambda p, plan: torch.optim.AdamW(p, plan.lr, eps=plan.eps, weight_decay=plan.weight_decay, fused=True),
    "rmsprop": lambda p, plan: torch.optim.RMSprop(p, plan.lr, alpha=0.9, eps=plan.eps, weight_decay=plan.weight_decay),
}


@record
class TrainPlan:
    """How to train: every schedule is a share of the planned steps, so that it ends with the fit whatever the data's size.

    The planned steps are ``epochs`` passes over the training cells, but at least ``min_steps`` (as far as
    ``max_epochs`` passes reach) and at most ``max_steps``. With ``epochs=0`` there is no step, see :class:`scae.networks.Linear`.

    With ``held_out_molecules`` the planned steps are a limit. That share of the molecules of a fifth of the cells, at most 4,096,
    is hidden (binomial thinning; Batson 2019, doi:10.1101/786269) until their loss no longer falls. The fit then goes back to the
    step at which the loss was least, and ends from there: the learning rate falls over the last ``lr_decay`` of the steps, which
    are taken on every molecule.

    Raises
    ------
    ConfigError
        If both molecules and cells are held out, or if the learning rate would fall before the molecules have decided.
    """

    epochs: int = option("passes over the training cells (0: no step, for weights that are solved for)", default=20, low=0)
    min_steps: int = option("least number of steps, for small data", default=1500, low=1)
    max_epochs: int | None = option("passes that ``min_steps`` may come to at the most (none: any)", default=None, low=1)
    max_steps: int | None = option("greatest number of steps, for large data (none: any)", default=20_000, low=1)
    max_cells: int | None = option(
        "cells trained on, a random sample; the loss of those left out is told at the end (none: all)", default=None, low=2
    )
    batch_size: int = option("cells a step", default=128, low=1)
    optimizer: str = option("rule of the step", default="adamw", choices=tuple(OPTIMIZERS))
    lr: float = option("learning rate at its peak", default=2e-3, low=0.0)
    eps: float = option("added to the optimizer's denominator", default=1e-8, low=0.0)
    weight_decay: float = option("pull of the weights towards zero a step, in units of the learning rate", default=0.0, low=0.0)
    lr_warmup: float = option("share of the steps over which the learning rate rises", default=0.1, low=0.0, high=1.0)
    lr_final: float = option("share of the peak at which the learning rate ends (1: it stays)", default=0.0, low=0.0, high=1.0)
    lr_decay: float = option(
        "share of the steps, the last, over which the learning rate falls (1: all after its rise)", default=1.0, low=0.0, high=1.0
    )
    plateau: float = option(
        "share of the steps without a better held-out loss that cuts the learning rate to a tenth (0: half a cosine instead)",
        default=0.0, low=0.0, high=1.0,
    )  # fmt: skip
    kl_warmup: float = option("share of the steps over which the KL term gains its full weight", default=0.1, low=0.0, high=1.0)
    clip: float = option("greatest norm of the gradient", default=10.0, low=0.0)
    averaging: float = option("decay a step of the weights' running average (0: none)", default=0.99, low=0.0, high=0.9999)
    held_out: float = option("share of cells held out to judge the weights by (0: none)", default=0.05, low=0.0, high=0.9)
    held_out_molecules: float = option(
        "share of the molecules of a fifth of the cells that is hidden until their loss says when to stop (0: none)",
        default=0.0, low=0.0, high=0.9,
    )  # fmt: skip
    molecules_given: str = option(
        "what predicts the hidden molecules: the latent alone, as in the expected counts, or also the cell's other counts, as in "
        "their posterior mean",
        default="latent", choices=GIVEN,
    )  # fmt: skip
    keep: str = option(
        "which weights the model has after the fit: those of the best held-out loss, or the last", default="best", choices=KEPT
    )
    patience: float = option(
        "share of the steps without a better held-out loss that ends the fit", default=0.3, low=0.0, high=1.0
    )
    checks: int = option("times that the held-out loss is taken, at most once an epoch", default=50, low=1)

    def __post_init__(self) -> None:
        if self.held_out_molecules and (self.held_out or self.plateau or self.lr_decay == 1.0):
            raise ConfigError(
                f"held_out_molecules is {self.held_out_molecules}, with held_out {self.held_out}, plateau {self.plateau} and "
                f"lr_decay {self.lr_decay}; allowed: held_out_molecules 0, or held_out 0, plateau 0 and an lr_decay below 1."
            )

    @property
    def stays(self) -> float:
        """Share of the steps before the learning rate falls."""
        return 1.0 - self.lr_decay

    def planned_steps(self, n_batches: int) -> int:
        if not self.epochs:
            return 0
        least = self.min_steps if self.max_epochs is None else min(self.min_steps, self.max_epochs * n_batches)
        steps = max(self.epochs * n_batches, least, 1)
        return steps if self.max_steps is None else min(steps, self.max_steps)

    def lr_factor(self, step: int, planned: int) -> float:
        """Linear rise, then half a cosine down; where plateaus cut the rate, it stays."""
        rise = self.lr_warmup * planned
        if step < rise:
            return (step + 1) / (rise + 1)
        top = max(rise, self.stays * planned)
        if self.plateau or step < top:
            return 1.0
        t = (step - top) / max(planned - top, 1)
        return self.lr_final + (1 - self.lr_final) * 0.5 * (1 + math.cos(math.pi * t))

    def kl_weight(self, step: int, planned: int) -> float:
        return min(1.0, (step + 1) / max(self.kl_warmup * planned, 1))
