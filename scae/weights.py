"""The weights in training, their running average, and the best average so far."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from numpy.typing import NDArray
from torch import Tensor

from .model import Autoencoder


class Weights:
    """The weights of a model in training, their running average, and the best average so far.

    Parameters
    ----------
    model
        The model; its weights are changed in place.
    decay
        Share of the average that a step keeps; 0 for no averaging.
    """

    def __init__(self, model: Autoencoder, decay: float) -> None:
        self.model, self.decay = model, decay
        self.live = [t for t in model.state_dict().values() if t.is_floating_point()]
        self.mean = [t.clone() for t in self.live] if decay else self.live
        self.best = [t.clone() for t in self.live]

    def update(self, step: int) -> None:
        """Move the average towards the live weights; early steps count more, so the start is soon forgotten."""
        if self.mean is not self.live:
            decay = min(self.decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(self.mean, self.live, 1 - decay)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The model with its averaged weights for a ``with`` block."""
        kept = [t.clone() for t in self.live]
        torch._foreach_copy_(self.live, self.mean)
        try:
            yield
        finally:
            torch._foreach_copy_(self.live, kept)

    def finite(self) -> bool:
        """Whether all averaged weights are finite."""
        return all(bool(torch.isfinite(t).all()) for t in self.mean)

    def keep(self) -> None:
        """Take the average as the best weights so far."""
        torch._foreach_copy_(self.best, self.mean)

    def rewind(self) -> None:
        """Train on from the best weights."""
        for tensors in (self.live, self.mean):
            torch._foreach_copy_(tensors, self.best)

    def restore(self) -> None:
        """Give the model the best weights."""
        torch._foreach_copy_(self.live, self.best)
        self.model.eval()

    def arrays(self) -> dict[str, Tensor]:
        """Averages and best weights, for a checkpoint."""
        means = {} if self.mean is self.live else {f"mean/{i}": t for i, t in enumerate(self.mean)}
        return means | {f"best/{i}": t for i, t in enumerate(self.best)}

    def load(self, arrays: dict[str, NDArray]) -> None:
        """Go on from a checkpoint, in a model that has its weights already."""
        for kind, tensors in (("best", self.best), ("mean", [] if self.mean is self.live else self.mean)):
            for i, tensor in enumerate(tensors):
                tensor.copy_(torch.from_numpy(arrays[f"{kind}/{i}"]))
