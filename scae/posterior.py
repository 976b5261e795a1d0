"""The posterior of each cell's own expected counts: the decoder's mean, corrected by what was counted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .infer import CP10K, decoded, each_block, whole
from .likelihoods import Posterior, Seen
from .model import Autoencoder
from .records import Cells, Counts
from .source import CountMatrix


def corrected(
    model: Autoencoder,
    source: CountMatrix,
    *,
    library_size: float | None = None,
    logged: bool = False,
    n_samples: int = 0,
    seed: int = 0,
    technical_cv2: float = 0.0,
) -> Iterator[tuple[slice, tuple[NDArray[np.float32], NDArray[np.float32] | None]]]:
    """The posterior mean and standard deviation of all cells' expected counts, ``(rows, genes)`` each, a block at a time.

    Parameters
    ----------
    model, source
        A fitted model and cells of its genes.
    library_size
        Exposure, counts; None: each cell's own.
    logged
        E[log1p(CP10k)] of new counts at ``library_size`` instead, without a standard deviation.
    n_samples
        Draws of a random latent, over which the mean is averaged, and whose spread is part of the standard deviation; 0 decodes
        the latent's mean.
    seed
        Seed of the draws.
    technical_cv2
        The technical part of the overdispersion, see :func:`scae.likelihoods.posterior.gamma_posterior`.
    """
    rng = torch.Generator(model.device).manual_seed(seed)
    factor = model.fitted.get("theta_factor")
    factors = None if factor is None else torch.tensor(factor, device=model.device)

    def read(counts: Counts, cells: Cells) -> tuple[Tensor, Tensor | None]:
        target = whole(model, counts, cells, cells)
        measured = torch.ones(counts.n_genes, device=model.device) if counts.missing is None else (~counts.missing).float()
        seen = Seen(counts.dense(), measured, factors, technical_cv2)
        found = [model.spec.likelihood.posterior(p, seen) for p in decoded(model, counts, cells, target, n_samples, rng)]
        if library_size is None:
            return _pooled(found)
        ratio = library_size / target.library.clamp_min(1e-6)
        if logged:
            return torch.stack([one.log_mean(ratio, CP10K / library_size) for one in found if one.log_mean]).mean(0), None
        mean, sd = _pooled(found)
        return mean * ratio, sd * ratio

    for rows, (mean, sd) in each_block(model, source, read):
        yield rows, (mean.cpu().numpy(), None if sd is None else sd.cpu().numpy())


def _pooled(found: list[Posterior]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of an even mixture."""
    if len(found) == 1:
        return found[0].mean, found[0].sd
    means, sds = torch.stack([one.mean for one in found]), torch.stack([one.sd for one in found])
    return means.mean(0), ((sds**2).mean(0) + means.var(0, correction=0)).sqrt()
