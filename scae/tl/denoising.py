"""Expected counts of each cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import numpy as np
import pandas as pd
from anndata import AnnData

from ..batch import DataSpec
from ..errors import ConfigError, unknown
from ..infer import denoised
from ..model import Autoencoder
from ..train import one_thread_count
from .fitting import FitOptions, Model, fitted
from .inputs import level_codes
from .writing import guard_layer, note


def denoise(
    adata: AnnData,
    model: Model = "vae",
    *,
    kind: str = "mean",
    key_added: str = "denoised",
    library_size: float = 1e4,
    n_samples: int = 10,
    genes: Sequence[str] | None = None,
    at_batch: str | None = None,
    **fit_options: Unpack[FitOptions],
) -> Autoencoder:
    """Write each cell's expected counts to a layer, fitting the model first unless it is fitted; ``X`` is never touched.

    Parameters
    ----------
    adata
        Cells × genes, raw counts.
    model
        As in :func:`scae.tl.embed`.
    kind
        ``"mean"``: expected counts at the cell's own exposure. ``"rate"``: expected counts per ``library_size``.
        ``"sample"``: one draw of the posterior predictive distribution, for checking the model against the data.
    key_added
        The layer, or with ``genes`` the ``obsm`` key, to write.
    library_size
        The exposure of ``kind="rate"``, in counts.
    n_samples
        Draws of a random latent that the mean is averaged over; 0 decodes the latent's mean.
    genes
        Only these genes: a DataFrame in ``obsm[key_added]`` instead of a layer.
    at_batch
        Decode every cell as if it came from this level of ``batch_key``.
    fit_options
        As in :func:`scae.tl.embed`.

    Returns
    -------
    Autoencoder
        The fitted model. ``adata`` gains ``layers[key_added]``, ``(cells, genes)`` float32, NaN for genes not modelled
        (or ``obsm[key_added]``), and ``uns["scae"]``.

    Raises
    ------
    ConfigError
        If an option is not allowed, or the layer is one that scae did not write.
    ScaeError
        As :func:`scae.tl.embed`.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.denoise(adata, genes=["CD3D"], plan=scae.TrainPlan(min_steps=20, epochs=1))
    >>> adata.obsm["denoised"].columns.tolist()
    ['CD3D']
    """
    if not library_size > 0 or n_samples < 0:
        raise ConfigError(f"library_size is {library_size}, n_samples {n_samples}; allowed: above 0, and from 0.")
    made, source = fitted(adata, model, fit_options)
    level = None if at_batch is None else _level(made.data, at_batch)
    seed = made.fitted.get("random_state", 0)
    blocks = denoised(made, source, kind=kind, library_size=library_size, n_samples=n_samples, level=level, seed=seed)
    how = {"verb": "denoise", "kind": kind, "library_size": library_size, "n_samples": n_samples, "at_batch": at_batch}
    if genes is None:
        guard_layer(adata, key_added, made)
        out = np.full(adata.shape, np.nan, np.float32)
        columns = adata.var_names.astype(str).get_indexer(list(made.data.genes))
        with one_thread_count():
            for rows, block in blocks:
                out[rows, columns] = block
        adata.layers[key_added] = out
        note(adata, made, f"layers[{key_added!r}]", **how)
        return made
    chosen = _positions(made.data, genes)
    with one_thread_count():
        parts = [block[:, chosen] for _, block in blocks]
    adata.obsm[key_added] = pd.DataFrame(np.concatenate(parts), index=adata.obs_names, columns=list(genes))
    note(adata, made, f"obsm[{key_added!r}]", **how)
    return made


def _level(data: DataSpec, at_batch: str) -> int:
    if data.batch_key is None:
        raise ConfigError(f"at_batch is {at_batch!r}, but the model was fitted without batch_key. Fit it with one.")
    return int(level_codes([str(at_batch)], "at_batch", data.categorical[0][1])[0])


def _positions(data: DataSpec, genes: Sequence[str]) -> list[int]:
    place = {name: i for i, name in enumerate(data.genes)}
    for name in genes:
        if name not in place:
            raise unknown("gene", name, data.genes, hint="genes takes genes that the model was fitted to.")
    return [place[name] for name in genes]
