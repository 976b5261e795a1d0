"""How badly a model explains each cell."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from ..errors import ConfigError
from ..infer import bound as bound_of
from ..model import Autoencoder
from ._fit import fitted, require_fitted
from ._writing import check_slots, note

_BOUNDS = ("elbo", "iwae")


def score(
    adata: AnnData, model: Autoencoder, *, key_added: str = "scae_score", n_samples: int = 10, bound: str = "elbo",
    layer: str | None = None, overwrite: bool = False,
) -> NDArray[np.float32]:  # fmt: skip
    """Write each cell's negative ELBO to ``obs``: the higher, the worse the model explains the cell.

    The KL term has weight one, whatever weight (β) it had in the fit, and penalties are left out, so that the score bounds
    −log p(x) from above. Where the latent is a point, the score is −log p(x | z). A cell's score does not depend on the other
    cells.

    Parameters
    ----------
    adata : AnnData
        Cells with the model's genes.
    model : Autoencoder
        A fitted model.
    key_added : str
        ``obs`` column to write.
    n_samples : int
        Number of draws of a random latent.
    bound : str
        ``"elbo"``: the mean over draws of the negative ELBO. ``"iwae"``: the importance-weighted bound over the draws, which is
        tighter the more there are; for Gaussian latents.
    layer : str, optional
        Layer that holds the counts; None for the one to which the model was fitted.
    overwrite : bool
        Replace what is there already under that name, even if scae has no record of having written it.

    Returns
    -------
    numpy.ndarray
        ``(cells,)`` float32, nats, also in ``obs[key_added]``. It grows with the library size: compare cells of similar depth,
        or the same cells between models with the same likelihood.

    Raises
    ------
    ConfigError
        If the model is not fitted, an option is not allowed, or the place is taken.
    ScaeError
        If the counts or genes do not fit the model, see :func:`scae.tl.embed`.

    References
    ----------
    Kingma and Welling (2014), arXiv:1312.6114; Burda, Grosse and Salakhutdinov (2016), doi:10.48550/arXiv.1509.00519.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.fit(adata, plan=scae.TrainPlan(min_steps=20, epochs=1))
    >>> bool((scae.tl.score(adata, model) > 0).all())
    True
    """
    if not isinstance(n_samples, Integral) or isinstance(n_samples, bool) or n_samples < 1:
        raise ConfigError(f"n_samples is {n_samples!r}; allowed: a whole number from 1.")
    if bound not in _BOUNDS:
        raise ConfigError(f"bound is {bound!r}; allowed: {', '.join(map(repr, _BOUNDS))}.")
    require_fitted(model)
    check_slots(adata, ("obs", key_added), overwrite=overwrite)
    fitted_model, source = fitted(adata, model, {"layer": layer})
    seed = fitted_model.fitted.get("random_state", 0)
    nats = bound_of(fitted_model, source, n_samples=int(n_samples), importance=bound == "iwae", seed=seed)
    adata.obs[key_added] = nats
    note(adata, fitted_model, f"obs[{key_added!r}]", verb="score", n_samples=int(n_samples), bound=bound)
    return nats
