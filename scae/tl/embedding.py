"""The latent of each cell."""

from __future__ import annotations

from typing import Unpack

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

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
        The fitted model. ``adata`` gains ``obsm[key_added]``, ``(cells, dim)`` float32 in C order, and ``uns["scae"]``. A model
        that chooses from a codebook also writes the categorical ``obs[f"{key_added}_code"]``, and one with several codebooks
        ``obsm[f"{key_added}_codes"]``, ``(cells, books)`` int64.

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
        mean, sd, code = latent(made, source)
    adata.obsm[key_added] = mean
    if with_sd:
        adata.obsm[f"{key_added}_sd"] = sd
    note(adata, made, f"obsm[{key_added!r}]", verb="embed")
    if code is not None:
        note(adata, made, _write_codes(adata, key_added, code), verb="embed")
    return made


def _write_codes(adata: AnnData, key_added: str, code: NDArray[np.int64]) -> str:
    """Write each cell's codes ``(cells, books)``; returns where."""
    if code.shape[1] > 1:
        adata.obsm[f"{key_added}_codes"] = code
        return f"obsm[{key_added + '_codes'!r}]"
    met = [str(c) for c in np.unique(code)]  # in the order of numbers, not of words
    adata.obs[f"{key_added}_code"] = pd.Categorical(code[:, 0].astype(str), categories=met)
    return f"obs[{key_added + '_code'!r}]"
