"""Signs that a fit has gone wrong though every number is finite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ALIVE = 1e-3  # standard deviation over cells of the most varied dimension; below it, the latent is the same in all cells


@dataclass(frozen=True)
class Health:
    """What a fit looks like at its start, and so what counts as going wrong.

    Attributes
    ----------
    limit
        Highest mean loss, nats per cell, of a fit that goes well: the loss before the first step, when the model knows only each
        gene's mean, plus half its size and one standard deviation over cells.
    alive
        Whether the latent differs between cells at the start. It does not in a single cell, or in cells with the same counts.
    """

    limit: float
    alive: bool

    @classmethod
    def at_start(cls, loss: NDArray[np.float32], latent: NDArray[np.float32]) -> Health:
        """The health before the first step, from the loss, ``(cells,)``, and the latent, ``(cells, dim)``, of some cells."""
        nats = loss.astype(np.float64)
        return cls(float(nats.mean() + nats.std() + abs(nats.mean()) / 2), _spread(latent) >= _ALIVE)

    def fault(self, loss: float, latent: NDArray[np.float32]) -> str | None:
        """What is wrong with a mean loss, nats per cell, and the latent of the same cells; None if nothing is."""
        if loss > self.limit:
            return f"the loss is {loss:.5g} nats per cell, far above that of the untrained model (limit {self.limit:.5g})"
        if self.alive and _spread(latent) < _ALIVE:
            return f"the latent has become the same in all cells (standard deviation below {_ALIVE:g} in every dimension)"
        return None

    def plain(self) -> dict[str, Any]:
        """The health as JSON has it."""
        return {"limit": self.limit if np.isfinite(self.limit) else None, "alive": self.alive}

    @classmethod
    def read(cls, plain: dict[str, Any]) -> Health:
        """The health from :meth:`plain`."""
        return cls(np.inf if plain["limit"] is None else plain["limit"], plain["alive"])


def _spread(latent: NDArray[np.float32]) -> float:
    """Standard deviation over cells of the most varied dimension."""
    return float(latent.astype(np.float64).std(axis=0).max())
