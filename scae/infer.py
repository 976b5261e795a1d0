"""What a fitted model says of cells, block by block, so that memory is bounded by the output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .batch import CountBatch
from .model import Autoencoder
from .source import CountMatrix

KINDS = ("mean", "rate", "sample")
_BLOCK = 512


@torch.no_grad()
def latent(model: Autoencoder, source: CountMatrix) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64] | None]:
    """The posterior mean and standard deviation of the latent, ``(cells, dim)`` each; a point has none.

    Third, of a bottleneck that chooses from codebooks, the code of each cell in each book ``(cells, books)``; else None.
    """
    model.eval()
    mean, sd = np.empty((2, len(source), model.spec.bottleneck.dim), np.float32)
    codes = []
    for rows, batch in source.blocks(_BLOCK):
        code = model.encode(batch.to(model.device))
        mean[rows], sd[rows] = code.point.cpu().numpy(), code.sd.cpu().numpy()
        if "code" in code.trace:
            codes.append(code.trace["code"].cpu().numpy())
    return mean, sd, np.concatenate(codes) if codes else None


@torch.no_grad()
def denoised(
    model: Autoencoder,
    source: CountMatrix,
    *,
    kind: str = "mean",
    library_size: float = 1e4,
    n_samples: int = 0,
    level: int | None = None,
    seed: int = 0,
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Expected counts ``(rows, genes)`` of all cells, a block at a time.

    Parameters
    ----------
    model, source
        A fitted model and cells of its genes.
    kind
        One of :data:`KINDS`. ``"mean"``: counts at the cell's own exposure; ``"rate"``: counts per ``library_size``;
        ``"sample"``: one draw of the posterior predictive distribution at the cell's own exposure.
    library_size
        Exposure of ``"rate"``, counts.
    n_samples
        Draws of a random latent that a mean is averaged over; 0 decodes the latent's mean.
    level
        Decode every cell at this level of the first categorical covariate; None: at its own.
    seed
        Where draws start.
    """
    model.eval()
    rng = torch.Generator(model.device).manual_seed(seed)
    for rows, batch in source.blocks(_BLOCK):
        batch = batch.to(model.device)
        yield rows, _block(model, batch, _target(batch, kind, library_size, level), kind, n_samples, rng).cpu().numpy()


def _target(batch: CountBatch, kind: str, library_size: float, level: int | None) -> CountBatch:
    """The exposure and covariates at which to decode; the encoder keeps the cell's own."""
    if kind == "rate":
        batch = replace(batch, library=torch.full_like(batch.library, library_size))
    if level is not None:
        covariates = batch.covariates.clone()
        covariates[:, 0] = level
        batch = replace(batch, covariates=covariates)
    return batch


def _block(model: Autoencoder, batch: CountBatch, target: CountBatch, kind: str, n_samples: int, rng: torch.Generator) -> Tensor:
    likelihood = model.spec.likelihood
    if kind == "sample":
        p = model.decode(model.encode(batch, rng).z, target)
        return model.counts(likelihood.sample(p, rng), target)
    code = model.encode(batch)
    if not code.sd.any():
        n_samples = 0  # a point: every draw is the mean
    total: Tensor | float = 0.0
    for _ in range(max(n_samples, 1)):
        z = model.encode(batch, rng).z if n_samples else code.z
        p = model.decode(z, target)
        total = total + model.counts(likelihood.mean(p), target)
    return torch.as_tensor(total) / max(n_samples, 1)
