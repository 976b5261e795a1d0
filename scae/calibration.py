"""How far the posterior standard deviations of a latent can be trusted: halves of the same cells, compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from .evaluate import split
from .infer import latent
from .model import Autoencoder
from .source import CountMatrix

_CELLS = 4096  # compared, evenly spaced: enough for each scale to be within two per cent
_WHOLE = 1e-6  # half a molecule cannot be drawn


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
    rows = np.unique(np.linspace(0, len(source) - 1, min(len(source), _CELLS)).astype(np.int64))
    counts = sp.csr_matrix((source.value, source.gene, source.indptr), (len(source), source.n_genes))[rows]
    if np.any(np.abs(counts.data - np.rint(counts.data)) > _WHOLE):
        return None
    halves = split(counts, 0.5, seed)
    both = np.diff(halves.test.indptr) > 0
    rows = rows[halves.cells][both]
    (z, sd), (other, other_sd) = (latent(model, _with(source, rows, half[both]))[:2] for half in (halves.train, halves.test))
    spread = np.hypot(sd, other_sd, dtype=np.float64)
    return np.subtract(z, other, dtype=np.float64) / spread if rows.size and (spread > 0).all() else None


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


def _with(source: CountMatrix, rows: NDArray[np.int64], counts: sp.csr_matrix) -> CountMatrix:
    """Some of the cells with other counts."""
    return replace(
        source,
        indptr=counts.indptr.astype(np.int64),
        gene=counts.indices.astype(np.int64),
        value=counts.data,
        library=source.library[rows],
        covariates=source.covariates[rows],
        continuous=source.continuous[rows],
        batch=None if source.batch is None else source.batch[rows],
        label=None if source.label is None else source.label[rows],
    )
