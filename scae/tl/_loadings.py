"""Gene loadings of a linear decoder."""

from __future__ import annotations

import numpy as np
from anndata import AnnData

from ..errors import ConfigError
from ..model import Autoencoder
from ._fit import fitted
from ._writing import note


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
    fitted_model, _ = fitted(adata, model, {})
    decoders = fitted_model.heads.decoders
    columns = decoders[0].latent_weights().detach().cpu().numpy()
    if len(columns) != fitted_model.data.n_genes or len(decoders) > 1:
        raise ConfigError(
            f"the decoder of {fitted_model.spec.network} is not one linear map, so there are no loadings. Take network 'linear', "
            "or 'mlp' with decoder_hidden=()."
        )
    table = np.full((adata.n_vars, columns.shape[1]), np.nan, np.float32)
    table[adata.var_names.astype(str).get_indexer(list(fitted_model.data.genes))] = columns
    adata.varm[key_added] = table
    note(adata, fitted_model, f"varm[{key_added!r}]", verb="loadings")
