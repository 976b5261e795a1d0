"""The latent of each cell."""

from __future__ import annotations

from typing import Unpack

from anndata import AnnData

from ..infer import latent
from ..model import Autoencoder
from ..train import thread_count
from .fitting import FitOptions, Model, fitted
from .writing import note


def embed(
    adata: AnnData, model: Model = "vae", *, key_added: str = "X_scae", with_sd: bool = False, **fit_options: Unpack[FitOptions]
) -> Autoencoder:
    """Write each cell's latent to ``obsm``, fitting the model first unless it is fitted.

    Parameters
    ----------
    adata
        Cells × genes, raw counts.
    model
        A preset's name, a preset or a specification (it is fitted, then applied), or a fitted model (it is applied; genes are
        matched by name; of a model fitted under ``gene_dropout`` some may be missing).
    key_added
        Where in ``obsm`` to write.
    with_sd
        Also write the posterior standard deviation to ``obsm[f"{key_added}_sd"]`` (zero where the code is a point).
    fit_options
        ``layer`` for any model; for one that is not fitted the keywords of :func:`scae.tl.fit`.

    Returns
    -------
    Autoencoder
        The fitted model. ``adata`` gains ``obsm[key_added]``, ``(cells, dim)`` float32 in C order, and ``uns["scae"]``.

    Raises
    ------
    GenesError
        If genes of a fitted model are missing in ``adata``, unless it was fitted under the corruption ``gene_dropout``.
    CategoryError
        If a covariate has a level that a fitted model has not seen.
    ScaeError
        Where :func:`scae.check` finds an error.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.embed(adata, plan=scae.TrainPlan(min_steps=20, epochs=1))
    >>> adata.obsm["X_scae"].shape[0]
    700
    """
    made, source = fitted(adata, model, fit_options, may_lack=True)
    with thread_count():
        mean, sd = latent(made, source)
    adata.obsm[key_added] = mean
    if with_sd:
        adata.obsm[f"{key_added}_sd"] = sd
    note(adata, made, f"obsm[{key_added!r}]", verb="embed")
    return made
