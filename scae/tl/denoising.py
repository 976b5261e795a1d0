"""Expected counts of each cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import numpy as np
import pandas as pd
from anndata import AnnData

from .. import parts
from ..batch import DataSpec
from ..errors import ConfigError, unknown
from ..infer import KINDS, denoised
from ..likelihoods import Likelihood
from ..model import Autoencoder
from ..train import thread_count
from .fitting import FitOptions, Model, fitted, spec_of
from .inputs import level_codes
from .writing import guard_layer, note


def denoise(
    adata: AnnData,
    model: Model = "denoiser",
    *,
    kind: str = "mean",
    key_added: str = "denoised",
    library_size: float = 1e4,
    n_samples: int = 0,
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
        As in :func:`scae.tl.embed`. The default differs from that of ``embed``: what predicts held-out molecules best is a
        looser code and a deeper decoder than what clusters best.
    kind
        ``"mean"``: expected counts at the cell's own exposure. ``"rate"``: expected counts per ``library_size``.
        ``"sample"``: one draw of the posterior predictive distribution, for checking the model against the data.
        ``"log_mean"``: E[log1p(X · 10⁴ / library_size)] for counts X at an exposure of ``library_size``: what the mean of
        log-normalised values of cells of that depth is to be compared with, since log1p of an expected count is larger. For
        likelihoods of molecules; the expectation is exact to about 1e-7.
    key_added
        The layer, or with ``genes`` the ``obsm`` key, to write.
    library_size
        The exposure of ``kind="rate"`` and ``kind="log_mean"``, in counts.
    n_samples
        Draws of a random latent that the mean is averaged over; 0 decodes the latent's mean (by measurement no worse).
    genes
        Only these genes: a DataFrame in ``obsm[key_added]`` instead of a layer. They may be genes that a query lacks, where the
        model was fitted under ``gene_dropout``.
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
        If an option is not allowed, the layer is one that scae did not write, or the likelihood has no ``kind="log_mean"``.
    ScaeError
        As :func:`scae.tl.embed`.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.denoise(adata, genes=["CD3D"], plan=scae.TrainPlan(min_steps=20, epochs=1))
    >>> adata.obsm["denoised"].columns.tolist()
    ['CD3D']
    """
    if kind not in KINDS or not library_size > 0 or n_samples < 0:
        given = f"kind is {kind!r}, library_size {library_size}, n_samples {n_samples}"
        raise ConfigError(f"{given}; allowed: {', '.join(map(repr, KINDS))}, above 0, from 0.")
    spec = spec_of(model)
    if kind == "log_mean" and not spec.likelihood.of_molecules:
        known: dict[str, type[Likelihood]] = {name: parts.find("likelihood", name) for name in parts.names("likelihood")}
        able = [name for name, cls in known.items() if cls.of_molecules]
        raise ConfigError(
            f"kind is 'log_mean', and {spec.likelihood} does not say how many molecules are seen at a depth; allowed: "
            f"{', '.join(able)}. Fit one of these, or take kind='mean'."
        )
    if genes is None:
        guard_layer(adata, key_added)
    _check_names(adata, model, genes, at_batch, fit_options.get("batch_key"))
    made, source = fitted(adata, model, fit_options, may_lack=True)
    level = None if at_batch is None else _level(made.data, at_batch)
    seed = made.fitted.get("random_state", 0)
    blocks = denoised(made, source, kind=kind, library_size=library_size, n_samples=n_samples, level=level, seed=seed)
    how = {"verb": "denoise", "kind": kind, "library_size": library_size, "n_samples": n_samples, "at_batch": at_batch}
    if genes is None:
        out = np.full(adata.shape, np.nan, np.float32)
        columns = adata.var_names.astype(str).get_indexer(list(made.data.genes))
        there = np.flatnonzero(columns >= 0)
        with thread_count():
            for rows, block in blocks:
                out[rows, columns[there]] = block[:, there]
        adata.layers[key_added] = out
        note(adata, made, f"layers[{key_added!r}]", **how)
        return made
    chosen = _positions(made.data, genes)
    with thread_count():
        chunks = [block[:, chosen] for _, block in blocks]
    adata.obsm[key_added] = pd.DataFrame(np.concatenate(chunks), index=adata.obs_names, columns=list(genes))
    note(adata, made, f"obsm[{key_added!r}]", **how)
    return made


def _check_names(adata: AnnData, model: Model, genes: Sequence[str] | None, at_batch: str | None, batch_key: str | None) -> None:
    """Find a wrong name before a fit is spent on it."""
    known = model.data.genes if isinstance(model, Autoencoder) and model.spec.corruption.hides else ()
    for name in genes or ():
        if name not in adata.var_names and name not in known:
            raise unknown("gene", name, adata.var_names)
    if at_batch is not None and not isinstance(model, Autoencoder):
        if batch_key is None:
            raise ConfigError(f"at_batch is {at_batch!r}, but no batch_key is given.")
        if batch_key in adata.obs and str(at_batch) not in set(adata.obs[batch_key].astype(str)):
            raise unknown("level of " + batch_key, at_batch, sorted(set(adata.obs[batch_key].astype(str))))


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
