"""Molecules hidden from a fit: their loss says when the model no longer learns what they share with the other molecules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .kernels import sampling
from .model import Autoencoder
from .records import Cells, Counts
from .source import CountMatrix

_CELLS = 5  # one of so many has hidden molecules
_MOST = 4096  # cells with hidden molecules: enough for a loss to three digits, and soon scored


@dataclass(frozen=True)
class Rest(CountMatrix):
    """Counts without the hidden molecules; counts of which nothing remains are dropped when cells are taken."""

    def take(self, rows: NDArray[np.int64]) -> tuple[Counts, Cells]:
        counts, cells = super().take(rows)
        return counts.where(counts.value > 0), cells


@dataclass(frozen=True)
class Hidden:
    """Molecules hidden from a fit.

    Attributes
    ----------
    source
        All cells with all their molecules.
    rest
        All cells without the hidden molecules; their exposure is smaller by the share of the cell's molecules that is hidden.
    rows
        ``(n,)`` int64, cells with hidden molecules.
    """

    source: CountMatrix
    rest: CountMatrix
    rows: NDArray[np.int64]

    @classmethod
    def draw(cls, source: CountMatrix, train: NDArray[np.int64], share: float, rng: torch.Generator) -> Hidden:
        """Hide each molecule of a fifth of the cells of ``train`` with probability ``share``; no cell loses all of them."""
        order = torch.randperm(train.size, generator=rng, device=rng.device).cpu().numpy()
        some = np.zeros(len(source), bool)
        some[train[order[: min(-(-train.size // _CELLS), _MOST)]]] = True
        cell = np.repeat(np.arange(len(source)), np.diff(source.indptr))
        seed = int(torch.randint(1 << 62, (1,), generator=rng, device=rng.device))
        drawn = sampling.thin(source.indptr, source.gene, np.where(some[cell], source.value, 0.0), share, seed)
        whole, gone = (np.bincount(cell, values, len(source)) for values in (source.value, drawn))
        some &= (gone > 0) & (gone < whole)
        value = np.where(some[cell], source.value - drawn, source.value).astype(source.value.dtype)
        left = np.where(some, 1 - gone / np.maximum(whole, 1), 1.0)[:, None]
        arrays = {name: getattr(source, name) for name in source.__dataclass_fields__}
        rest = Rest(**arrays | {"value": value, "library": (source.library * left).astype(source.library.dtype)})
        return cls(source, rest, np.flatnonzero(some))

    def losses(self, model: Autoencoder, given: str) -> Callable[[Counts, Cells], Tensor]:
        """Reads blocks of the cells of ``rows``, as they are in ``rest`` and in order: the loss of their hidden molecules.

        The loss, ``(cells,)`` nats, is taken at the latent of the rest of the cell, without KL and penalty.

        Parameters
        ----------
        model
            The model.
        given
            ``"latent"``: −log p(hidden | z), which judges the model's expected counts. ``"counts"``: −log p(hidden | z, rest) =
            −log p(all | z) + log p(rest | z), which judges their posterior mean given the cell's other counts.
        """
        read = 0

        def loss(rest: Counts, cells: Cells) -> Tensor:
            nonlocal read
            rows, read = self.rows[read : read + len(cells)], read + len(cells)
            counts, whole = self.source.take(rows)
            counts, whole = counts.to(model.device), whole.to(model.device)
            z = model.encode(rest, cells).z
            if given == "counts":
                return _nll(model, z, rest, whole, counts) - _nll(model, z, rest, cells, rest)
            left = CountMatrix.take(self.rest, rows)[0].to(model.device)  # the same genes as in ``counts``, zeros included
            gone = counts.with_value(counts.value - left.value)
            return _nll(model, z, rest, replace(cells, library=whole.library - cells.library), gone.where(gone.value > 0))

        return loss


def _nll(model: Autoencoder, z: Tensor, seen: Counts, cells: Cells, target: Counts) -> Tensor:
    """Loss ``(cells,)`` of counts at the exposure of ``cells``, by a model that has seen others of the same cells."""
    each = [model.spec.likelihood.nll(model.decode(z, seen, cells, decoder=d), target) for d in model.decoders]
    return torch.stack(each).mean(0)
