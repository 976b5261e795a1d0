"""The density of latents and library sizes of some cells, from which further ones are drawn."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

CELLS_PER_COMPONENT = 50
MAX_COMPONENTS = 32
MAX_CELLS = 20_000  # from which a mixture is fitted


class Density:
    """A mixture of normal distributions with full covariances, of latents and log library sizes together.

    Parameters
    ----------
    z
        ``(cells, dim)``, latents.
    library
        ``(cells,)``, library sizes, counts.
    seed
        Seed of the fit.
    """

    def __init__(self, z: NDArray[np.float32], library: NDArray[np.float32], seed: int) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        values = np.column_stack([z, np.log(np.maximum(library, 1))]).astype(np.float64)
        self.center, spread = values.mean(0), values.std(0)
        self.scale = np.where(spread > 1e-6, spread, 1.0)
        self.range = float(library.min()), float(library.max())
        scaled = (values - self.center) / self.scale
        some = scaled[np.random.default_rng(seed).permutation(len(z))[:MAX_CELLS]]
        k = min(max(len(some) // CELLS_PER_COMPONENT, 1), MAX_COMPONENTS)
        if len(z) == 1:  # scikit-learn asks for two
            some = np.repeat(some, 2, axis=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a fit that is nearly done serves as well
            self.mixture = GaussianMixture(k, reg_covar=1e-4, max_iter=50, random_state=seed).fit(some)
        self.component = self.mixture.predict(scaled)  # (cells,)

    def draw(self, n: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        """Latents ``(n, dim)``, library sizes ``(n,)`` within the range of the cells, and a random cell of the same component."""
        found = self.mixture
        which = rng.choice(len(found.weights_), n, p=found.weights_ / found.weights_.sum())
        noise = rng.standard_normal((n, len(self.center)))
        values, like = np.empty_like(noise), np.empty(n, np.int64)
        for k in np.unique(which):
            here, cells = which == k, np.flatnonzero(self.component == k)
            values[here] = found.means_[k] + noise[here] @ np.linalg.cholesky(found.covariances_[k]).T
            like[here] = rng.choice(cells if cells.size else len(self.component), here.sum())
        values = values * self.scale + self.center
        library = np.exp(values[:, -1]).clip(*self.range)
        return values[:, :-1].astype(np.float32), library.astype(np.float32), like
