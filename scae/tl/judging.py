"""What a fitted model says of single cells and genes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from anndata import AnnData
from numpy.typing import NDArray

from ..errors import ConfigError
from ..likelihoods.nb import log_theta
from ..model import Autoencoder
from ..train import score as score_cells
from ..train import thread_count
from .fitting import fitted
from .writing import note


def score(
    adata: AnnData, model: Autoencoder, *, key_added: str = "scae_score", n_samples: int = 10, layer: str | None = None
) -> NDArray[np.float32]:
    """Write how badly the model explains each cell, its negative ELBO in nats, to ``obs``.

    Parameters
    ----------
    adata
        Cells with the model's genes.
    model
        A fitted model.
    key_added
        Where in ``obs`` to write.
    n_samples
        Draws of a random latent that the bound is averaged over.
    layer
        Where the counts are, if elsewhere than in the data that the model was fitted to.

    Returns
    -------
    numpy.ndarray
        ``(cells,)`` float32, nats per cell, also in ``obs[key_added]``. Cells with more counts cost more nats: compare cells of
        like depth, or the same cells between models with the same likelihood.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.fit(adata, plan=scae.TrainPlan(min_steps=20, epochs=1))
    >>> bool((scae.tl.score(adata, model) > 0).all())
    True
    """
    made, source = fitted(adata, model, {"layer": layer})
    with thread_count():
        nats = score_cells(made, source, n_samples=n_samples, seed=made.fitted.get("random_state", 0)).numpy()
    adata.obs[key_added] = nats
    note(adata, made, f"obs[{key_added!r}]", verb="score", n_samples=n_samples)
    return nats


def dispersion(adata: AnnData, model: Autoencoder, *, key_added: str = "dispersion") -> None:
    """Write the inverse dispersion θ (variance μ + μ²/θ) to ``var``, or to ``obsm`` where each cell has its own.

    Parameters
    ----------
    adata
        Cells with the model's genes.
    model
        A fitted model with a negative-binomial likelihood.
    key_added
        ``var`` column, NaN for genes not modelled; or ``obsm`` key, ``(cells, modelled genes)``.

    Raises
    ------
    ConfigError
        If the model's likelihood has no dispersion.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.fit(adata, plan=scae.TrainPlan(min_steps=20, epochs=1))
    >>> scae.tl.dispersion(adata, model)
    >>> bool((adata.var["dispersion"].dropna() > 0).all())
    True
    """
    made, source = fitted(adata, model, {})
    theta: list[Any] = []
    with thread_count(), torch.no_grad():
        for _, batch in source.blocks(512):
            batch = batch.to(made.device)
            p = made.decode(made.encode(batch).z, batch)
            if "dispersion" not in p.raw:
                raise ConfigError(f"the likelihood {made.spec.likelihood} has no dispersion; 'nb' and 'zinb' have.")
            theta.append(log_theta(p).exp().cpu().numpy())
            if theta[0].ndim == 1:
                break
    if theta[0].ndim == 1:
        place = adata.var_names.astype(str).get_indexer(list(made.data.genes))
        column = np.full(adata.n_vars, np.nan, np.float32)
        column[place] = theta[0]
        adata.var[key_added] = column
    else:
        adata.obsm[key_added] = np.concatenate(theta)
    note(adata, made, f"{'var' if theta[0].ndim == 1 else 'obsm'}[{key_added!r}]", verb="dispersion")
