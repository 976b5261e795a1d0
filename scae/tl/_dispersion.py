"""Fitted dispersions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ConfigError
from ..infer import each_block
from ..likelihoods import Parameters
from ..likelihoods.base import CELL_GENE, GENE_BATCH, log_theta
from ..model import Autoencoder
from ..records import Cells, Counts
from ..source import CountMatrix
from ._fit import fitted, require_fitted
from ._writing import check_slots, note


def dispersion(adata: AnnData, model: Autoencoder, *, key_added: str = "dispersion", overwrite: bool = False) -> None:
    """Write the fitted inverse dispersion θ to ``var``, ``varm`` (per batch) or ``obsm`` (per cell); the variance is μ + μ²/θ.

    This is the θ of the likelihood. The posterior of :func:`scae.tl.denoise` multiplies it by ``model.fitted["theta_factor"]``.

    Parameters
    ----------
    adata : AnnData
        Cells with the model's genes.
    model : Autoencoder
        A fitted model with a negative-binomial likelihood.
    key_added : str
        Key to write. For one dispersion per gene, a ``var`` column. For one per gene and batch, a DataFrame in ``varm`` with one
        column per batch. Both are float32 and NaN for genes that are not modelled. For one per cell and gene, a float32 array
        ``(cells, modelled genes)`` in ``obsm``.
    overwrite : bool
        Replace what is there already under that name, even if scae has no record of having written it.

    Raises
    ------
    ConfigError
        If the model is not fitted, its likelihood has no dispersion, or the place is taken.
    ScaeError
        If the counts or genes do not fit the model, see :func:`scae.tl.embed`.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.fit(adata, plan=scae.TrainPlan(min_steps=20, epochs=1))
    >>> scae.tl.dispersion(adata, model)
    >>> bool((adata.var["dispersion"].dropna() > 0).all())
    True
    """
    require_fitted(model)
    axis = model.spec.likelihood.parameters().get("dispersion")
    if axis is None:
        raise ConfigError(f"the likelihood {model.spec.likelihood} has no dispersion; 'nb', 'zinb' and 'quasi_nb' have one.")
    batches = axis == GENE_BATCH and bool(model.data.batches)
    check_slots(adata, ("obsm" if axis == CELL_GENE else "varm" if batches else "var", key_added), overwrite=overwrite)
    fitted_model, source = fitted(adata, model, {})
    if axis == CELL_GENE:
        adata.obsm[key_added] = _per_cell(fitted_model, source)
        return note(adata, fitted_model, f"obsm[{key_added!r}]", verb="dispersion")
    theta = log_theta(Parameters(fitted_model.heads.free_values(), torch.ones(1, 1), 1.0)).detach().exp().cpu().numpy()
    table = np.full((adata.n_vars, theta.size // len(fitted_model.data.genes)), np.nan, np.float32)
    table[adata.var_names.astype(str).get_indexer(list(fitted_model.data.genes))] = np.atleast_2d(theta).T
    if batches:
        adata.varm[key_added] = pd.DataFrame(table, index=adata.var_names, columns=list(fitted_model.data.batches))
        return note(adata, fitted_model, f"varm[{key_added!r}]", verb="dispersion")
    adata.var[key_added] = table[:, 0]
    return note(adata, fitted_model, f"var[{key_added!r}]", verb="dispersion")


def _per_cell(model: Autoencoder, source: CountMatrix) -> NDArray[np.float32]:
    def read(counts: Counts, cells: Cells) -> Tensor:
        return log_theta(model.decode(model.encode(counts, cells).z, counts, cells)).exp()

    return np.concatenate([theta.cpu().numpy() for _, theta in each_block(model, source, read)])
