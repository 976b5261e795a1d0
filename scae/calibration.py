"""How far the posterior standard deviations of a latent can be trusted: halves of the same cells, compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .halves import halves
from .infer import latent
from .model import Autoencoder
from .source import CountMatrix


def deviations(model: Autoencoder, source: CountMatrix, *, seed: int = 0) -> NDArray[np.float64] | None:
    """Differences between the latents of two halves of a cell's molecules, in units of what the posteriors say.

    Each molecule goes to one of the halves at random. If the standard deviations are right, (z₁ − z₂) / √(s₁² + s₂²) has a
    standard deviation of one over cells.

    Parameters
    ----------
    model, source
        A model and cells of its genes.
    seed
        Seed of the halves.

    Returns
    -------
    numpy.ndarray or None
        ``(cells, dim)``, of at most 4,096 cells with a molecule in each half. None where the latent has no standard deviation, or
        where counts are not whole, so that they cannot be halved.
    """
    parts = halves(source, seed)
    if parts is None:
        return None
    (z, sd), (other, other_sd) = (latent(model, half)[:2] for half in parts)
    spread = np.hypot(sd, other_sd, dtype=np.float64)
    return np.subtract(z, other, dtype=np.float64) / spread if len(z) and (spread > 0).all() else None


def sd_scale(model: Autoencoder, source: CountMatrix, *, seed: int = 0) -> list[float] | None:
    """What to multiply the posterior standard deviation of each latent dimension by: the spread of :func:`deviations`.

    Examples
    --------
    >>> from scae.tl._fit import fitted
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.fit(adata, plan=scae.TrainPlan(min_steps=20, epochs=1))
    >>> len(sd_scale(model, fitted(adata, model, {})[1]))
    32
    """
    found = deviations(model, source, seed=seed)
    return None if found is None else np.sqrt((found**2).mean(0)).tolist()
