"""Gene loadings of a linear decoder."""

from __future__ import annotations

import numpy as np
import torch
from anndata import AnnData
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ConfigError
from ..model import Autoencoder
from ._fit import fitted, require_fitted
from ._writing import check_slots, note


def loadings(adata: AnnData, model: Autoencoder, *, key_added: str = "scae_loadings", overwrite: bool = False) -> None:
    """Write the gene loadings of a linear decoder to ``varm``.

    A loading is the change of a gene's decoder output, before the link function, per unit of a latent dimension as ``embed``
    writes it.

    Parameters
    ----------
    adata : AnnData
        Cells with the model's genes.
    model : Autoencoder
        A fitted model with a linear decoder, such as ``ldvae``, ``sparse``, ``pca`` or the default of ``embed``.
    key_added : str
        ``varm`` key to write: ``(genes, dim)`` float32, one column per latent dimension, NaN for genes that are not modelled.
    overwrite : bool
        Replace what is there already under that name, even if scae has no record of having written it.

    Raises
    ------
    ConfigError
        If the model is not fitted, its decoder has hidden layers, or the place is taken.
    ScaeError
        If the counts or genes do not fit the model, see :func:`scae.tl.embed`.

    References
    ----------
    Svensson, Gayoso, Yosef and Pachter (2020), Bioinformatics 36:3418, doi:10.1093/bioinformatics/btaa169.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.fit(adata, "ldvae", plan=scae.TrainPlan(min_steps=20, epochs=1))
    >>> scae.tl.loadings(adata, model)
    >>> adata.varm["scae_loadings"].shape
    (765, 10)
    """
    require_fitted(model)
    check_slots(adata, ("varm", key_added), overwrite=overwrite)
    fitted_model, _ = fitted(adata, model, {})
    columns = _slopes(fitted_model)
    table = np.full((adata.n_vars, columns.shape[1]), np.nan, np.float32)
    table[adata.var_names.astype(str).get_indexer(list(fitted_model.data.genes))] = columns
    adata.varm[key_added] = table
    note(adata, fitted_model, f"varm[{key_added!r}]", verb="loadings")


@torch.no_grad()
def _slopes(model: Autoencoder) -> NDArray[np.float32]:
    """The derivative ``(genes, dim)`` of the mean's read-out with respect to the latent.

    Raises
    ------
    ConfigError
        If it is not the same at two points, or there are several decoders.
    """
    decoder, bottleneck = model.eval().heads.decoders[0], model.spec.bottleneck
    eye = torch.eye(bottleneck.dim, device=model.device)

    def read(z: Tensor) -> Tensor:
        return next(iter(decoder(bottleneck.to_decoder(z, decoder), None, None).values()))

    here, there = (torch.func.jvp(read, (at,), (eye,))[1] for at in (torch.zeros_like(eye), eye - 0.5))  # (dim, genes) each
    if len(model.decoders) > 1 or not torch.allclose(here, there):
        raise ConfigError(
            f"the decoder of {model.spec.network} is not linear, so there are no loadings. Use the network 'linear', "
            "or 'mlp' with decoder_hidden=()."
        )
    return here.T.cpu().numpy()
