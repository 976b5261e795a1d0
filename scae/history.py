"""The course of a fit: means of the parts of the loss between two checks."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from .records import Loss


@dataclass
class History:
    """One row per check; losses are means in nats per cell, times in seconds since the start.

    Attributes
    ----------
    rows
        What was found, by name.
    best
        The row whose weights the model has.
    stopped
        Why the fit ended.
    rolled_back
        What went wrong each time that the fit returned to earlier weights with half the learning rate.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    best: int = -1
    stopped: str = "all planned steps done"
    rolled_back: list[str] = field(default_factory=list)

    def column(self, name: str) -> list[float]:
        """One quantity over the rows that have it."""
        return [row[name] for row in self.rows if name in row]

    def plain(self) -> dict[str, Any]:
        """The history as JSON has it."""
        return asdict(self)


class Meter:
    """Means of the parts of the loss since the last reading, and the seconds since the start."""

    def __init__(self) -> None:
        self.began, self.cells = time.perf_counter(), 0
        self.names: tuple[str, ...] = ()
        self.sums: Tensor | float = 0.0

    def add(self, loss: Loss) -> None:
        """Add the loss of a minibatch."""
        scalars = {name: value * len(loss.total) for name, value in loss.latent.history.items()}
        parts = {**loss.parts(), **scalars}
        self.names = tuple(parts)
        self.sums = self.sums + torch.stack([part.detach().sum() for part in parts.values()]).double().cpu()
        self.cells += len(loss.total)

    def read(self) -> dict[str, float]:
        """The means, and the seconds; starts anew."""
        means = (torch.as_tensor(self.sums) / self.cells).tolist()
        self.clear()
        return {**dict(zip(self.names, means, strict=True)), "seconds": time.perf_counter() - self.began}

    def mean(self, name: str) -> float:
        """The mean of one part since the last reading."""
        return float(torch.as_tensor(self.sums)[self.names.index(name)] / self.cells)

    def clear(self) -> None:
        """Forget what was added since the last reading."""
        self.sums, self.cells = 0.0, 0

    def plain(self) -> dict[str, Any]:
        """The sums as JSON has them; floats survive it to the bit."""
        sums = torch.as_tensor(self.sums, dtype=torch.float64).reshape(-1).tolist()
        return {"names": list(self.names), "sums": sums, "cells": self.cells, "seconds": time.perf_counter() - self.began}

    def load(self, plain: dict[str, Any]) -> None:
        """Go on from :meth:`plain`."""
        self.names, self.cells = tuple(plain["names"]), plain["cells"]
        self.sums = torch.tensor(plain["sums"], dtype=torch.float64) if self.cells else 0.0
        self.began = time.perf_counter() - plain["seconds"]
