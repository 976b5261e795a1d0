"""What a fitted model says of single cells and genes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from numpy.typing import NDArray

from ..errors import ConfigError
from ..likelihoods import Parameters
from ..likelihoods.base import CELL_GENE, GENE_BATCH
from ..likelihoods.nb import log_theta
from ..model import Autoencoder
from ..source import CountMatrix
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
    """Write the inverse dispersion θ (variance μ + μ²/θ) to ``var``, ``varm`` (a batch) or ``obsm`` (a cell), as it was fitted.

    Parameters
    ----------
    adata
        Cells with the model's genes.
    model
        A fitted model with a negative-binomial likelihood.
    key_added
        ``var`` column, NaN for genes not modelled; where each batch has its own, ``varm`` key of a DataFrame with one column a
        level of the batch key; where each cell has, ``obsm`` key, ``(cells, modelled genes)``.

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
    axis = made.spec.likelihood.parameters().get("dispersion")
    if axis is None:
        raise ConfigError(f"the likelihood {made.spec.likelihood} has no dispersion; 'nb', 'zinb' and 'quasi_nb' have.")
    if axis == CELL_GENE:
        adata.obsm[key_added] = _each_cell(made, source)
        return note(adata, made, f"obsm[{key_added!r}]", verb="dispersion")
    theta = log_theta(Parameters(made.free_values(), torch.ones(1, 1), 1.0)).detach().exp().cpu().numpy()
    table = np.full((adata.n_vars, theta.size // len(made.data.genes)), np.nan, np.float32)
    table[adata.var_names.astype(str).get_indexer(list(made.data.genes))] = np.atleast_2d(theta).T
    if axis == GENE_BATCH and made.data.batch_key is not None:
        adata.varm[key_added] = pd.DataFrame(table, index=adata.var_names, columns=list(made.data.categorical[0][1]))
        return note(adata, made, f"varm[{key_added!r}]", verb="dispersion")
    adata.var[key_added] = table[:, 0]
    return note(adata, made, f"var[{key_added!r}]", verb="dispersion")


def loadings(adata: AnnData, model: Autoencoder, *, key_added: str = "scae_loadings") -> None:
    """Write what each latent dimension adds to each gene, before the link, to ``varm``: for models with a linear decoder.

    Parameters
    ----------
    adata
        Cells with the model's genes.
    model
        A fitted model whose decoder is one linear map, such as ``ldvae``, ``sparse``, ``pca`` or the default of ``embed``
        (Svensson 2020, doi:10.1093/bioinformatics/btaa169).
    key_added
        ``varm`` key: ``(genes, dim)`` float32, the columns in the order of the latent's; NaN for genes not modelled.

    Raises
    ------
    ConfigError
        If the decoder has hidden layers.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.fit(adata, "ldvae", plan=scae.TrainPlan(min_steps=20, epochs=1))
    >>> scae.tl.loadings(adata, model)
    >>> adata.varm["scae_loadings"].shape
    (765, 10)
    """
    made, _ = fitted(adata, model, {})
    columns = made.coder.code_columns().detach().cpu().numpy()
    if len(columns) != made.data.n_genes or made.further:
        raise ConfigError(
            f"the decoder of {made.spec.network} is not one linear map, so there are no loadings. Take network 'linear', or an "
            "'mlp' with decoder_hidden=()."
        )
    table = np.full((adata.n_vars, columns.shape[1]), np.nan, np.float32)
    table[adata.var_names.astype(str).get_indexer(list(made.data.genes))] = columns
    adata.varm[key_added] = table
    note(adata, made, f"varm[{key_added!r}]", verb="loadings")


def _each_cell(model: Autoencoder, source: CountMatrix) -> NDArray[np.float32]:
    theta = []
    with thread_count(), torch.no_grad():
        for _, batch in source.blocks(512):
            batch = batch.to(model.device)
            theta.append(log_theta(model.decode(model.encode(batch).z, batch)).exp().cpu().numpy())
    return np.concatenate(theta)
