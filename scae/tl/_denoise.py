"""Expected counts of each cell."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from math import inf
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from ..checks import gene_mask
from ..errors import ConfigError, MissingKeyError, unknown
from ..infer import KINDS, denoised
from ..io.room import in_words, memory_available
from ..keys import KEYWORDS, DataKeys, DataSpec, spelled_out
from ..model import Autoencoder
from ._fit import TRAINING, FitOptions, Model, fitted, spec_of
from ._inputs import level_codes
from ._writing import check_slots, note

_TO_MODEL_MORE = (
    "To model further genes, set them to True in adata.var['highly_variable'] (or pass keep_genes=[...] to scae.pp.recipe or "
    "scae.pp.highly_variable_genes, --keep-genes to scae preprocess), and fit again."
)


@spelled_out(KEYWORDS | TRAINING)
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
    overwrite: bool = False,
    **keywords: Any,
) -> Autoencoder:
    """Write each cell's expected counts to a layer, after fitting the model if it is not fitted; ``X`` stays as it is.

    Denoised genes are correlated even if they are unrelated. For co-expression, use :func:`scae.tl.correlation`.

    Parameters
    ----------
    adata : AnnData
        Cells × genes, raw counts.
    model : str, Preset, ModelSpec or Autoencoder
        As in :func:`scae.tl.embed`. The default differs from that of ``embed``: a smaller KL weight and a deeper decoder predict
        held-out molecules better, but do not give the best clusters.
    kind : str
        ``"mean"``: expected counts at the cell's own library size. ``"rate"``: expected counts at a library size of
        ``library_size``. ``"sample"``: one draw from the posterior predictive distribution, to check the model against the data;
        ``random_state`` is its seed, also for a model that is fitted already.
        ``"log_mean"``: E[log1p(X · 10⁴ / library_size)] of counts X at a library size of ``library_size``, to compare with mean
        log-normalised values of cells of that depth (log1p of the expected count is larger). It needs a likelihood of
        molecules, and is exact to about 1e-7.
    key_added : str
        Layer to write; with ``genes``, the ``obsm`` key.
    library_size : float
        Library size for ``kind="rate"`` and ``kind="log_mean"``, in counts.
    n_samples : int
        Number of draws of a random latent over which the mean is averaged, with the seed ``random_state``; 0 decodes the mean of
        the latent (no worse in our benchmarks).
    genes : str or sequence of str, optional
        Write only these genes, as a DataFrame in ``obsm[key_added]`` instead of a layer. A model fitted with the corruption
        ``gene_dropout`` can also predict genes that ``adata`` lacks.
    at_batch : str, optional
        Decode every cell as if it came from this level of ``batch_key``; None: from its own batch.
    overwrite : bool
        Replace what is there already under that name, even if scae has no record of having written it.
    %(keywords)s

    Returns
    -------
    Autoencoder
        The fitted model. Also writes ``layers[key_added]``, ``(cells, genes)`` float32 with NaN for genes that are not modelled
        (or ``obsm[key_added]``), and a record in ``uns["scae"]``.

    Raises
    ------
    ConfigError
        If an option is not allowed, the place is taken by something that scae has no record of, the likelihood has no
        ``"log_mean"``, the layer would be larger than the memory available, or the model is fitted already and nothing is drawn
        with ``random_state``.
    MissingKeyError
        If a gene or a batch is unknown, or a gene is not modelled.
    ScaeError
        See :func:`scae.tl.embed`.

    Warns
    -----
    UserWarning
        If the layer has genes that are not modelled.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.denoise(adata, genes=["CD3D"], plan=scae.TrainPlan(min_steps=20, epochs=1))
    >>> adata.obsm["denoised"].columns.tolist()
    ['CD3D']
    """
    sound = isinstance(library_size, Real) and 0 < library_size < inf and isinstance(n_samples, Integral) and n_samples >= 0
    if kind not in KINDS or not sound:
        values = f"kind is {kind!r}, library_size {library_size!r}, n_samples {n_samples!r}"
        kinds = ", ".join(map(repr, KINDS))
        raise ConfigError(f"{values}; allowed: kind {kinds}, a finite library_size above 0, a whole n_samples from 0.")
    if kind == "log_mean":
        spec_of(model).likelihood.require_molecules("kind is 'log_mean'", ", or use kind='mean'")
    check_slots(adata, ("layers" if genes is None else "obsm", key_added), overwrite=overwrite)
    if genes is None:
        _check_memory(adata)
    genes = None if genes is None else listed(genes)
    options = FitOptions.read(keywords)
    _check_names(adata, model, genes, at_batch, options.keys)
    drawn = kind == "sample" or n_samples > 0
    of_draw = {"random_state"} if drawn and isinstance(model, Autoencoder) else set()  # otherwise it is that of the fit, too
    of_fit = {name: value for name, value in keywords.items() if name not in of_draw}
    fitted_model, source = fitted(adata, model, of_fit, may_lack=True)
    batch = None if at_batch is None else _batch_code(fitted_model.data, at_batch)
    seed = int(options.random_state if "random_state" in keywords else fitted_model.fitted.get("random_state", 0))
    blocks = denoised(fitted_model, source, kind=kind, library_size=library_size, n_samples=n_samples, batch=batch, seed=seed)
    if genes is None:
        layer = np.full(adata.shape, np.nan, np.float32)
        columns = adata.var_names.astype(str).get_indexer(list(fitted_model.data.genes))
        present = np.flatnonzero(columns >= 0)
        for rows, block in blocks:
            layer[rows, columns[present]] = block[:, present]
        adata.layers[key_added] = layer
        _warn_of_others(adata.n_vars - present.size, adata.n_vars, f"layers[{key_added!r}]")
    else:
        chosen = _positions(fitted_model.data.genes, genes)
        table = np.concatenate([block[:, chosen] for _, block in blocks])
        adata.obsm[key_added] = pd.DataFrame(table, index=adata.obs_names, columns=list(genes))
    place = f"layers[{key_added!r}]" if genes is None else f"obsm[{key_added!r}]"
    how = {"kind": kind, "library_size": float(library_size), "n_samples": int(n_samples)}  # numpy's numbers are no JSON
    how |= {"random_state_of_draw": seed} if drawn else {}
    note(adata, fitted_model, place, verb="denoise", **how, at_batch=None if at_batch is None else str(at_batch))
    return fitted_model


def _check_memory(adata: AnnData) -> None:
    """Refuse, before the fit, a layer that does not fit into memory.

    Raises
    ------
    ConfigError
        If it is larger than the memory available, where that is known.
    """
    need, there = 4 * adata.n_obs * adata.n_vars, memory_available()
    if there is not None and need > there:
        raise ConfigError(
            f"the denoised layer of {adata.n_obs:,} cells × {adata.n_vars:,} genes takes {in_words(need)} of memory, and "
            f"{in_words(there)} are available. Name the genes that you need (genes, or --genes), or first subset the data to "
            "fewer genes or cells, such as adata[:, adata.var['highly_variable']].copy()."
        )


def listed(genes: str | Sequence[str]) -> list[str]:
    """Names of genes from any sequence; a lone string is one gene.

    Raises
    ------
    ConfigError
        If there is none, one is repeated, or this is no sequence.
    """
    if not isinstance(genes, Iterable):
        raise ConfigError(f"genes is {genes!r}; allowed: names of genes, or None for a layer.")
    names = [genes] if isinstance(genes, str) else [str(name) for name in genes]
    repeated = sorted(name for name, times in Counter(names).items() if times > 1)
    if repeated or not names:
        said = f"repeats {', '.join(map(repr, repeated[:3]))}" if repeated else "is empty"
        raise ConfigError(f"genes {said}; allowed: names of genes, each once.")
    return names


def _check_names(adata: AnnData, model: Model, genes: Sequence[str] | None, at_batch: str | None, keys: DataKeys) -> None:
    """Refuse unknown names before the fit, which may take long."""
    known = model.data.genes if isinstance(model, Autoencoder) and model.input.takes_missing_genes else ()
    for name in genes or ():
        if name not in adata.var_names and name not in known:
            raise unknown("gene", name, adata.var_names)
    if genes is not None and isinstance(model, Autoencoder):
        _positions(model.data.genes, genes)
    elif genes is not None:
        _positions(adata.var_names[gene_mask(adata, keys.mask_var)], genes)
    if at_batch is not None and not isinstance(model, Autoencoder):
        batch_key = keys.batch_key
        if batch_key is None:
            raise ConfigError(f"at_batch is {at_batch!r}, but there is no batch_key. Name the column of the batch.")
        if batch_key in adata.obs and str(at_batch) not in set(adata.obs[batch_key].astype(str)):
            raise unknown("level of " + batch_key, at_batch, sorted(set(adata.obs[batch_key].astype(str))))


def _warn_of_others(n: int, n_vars: int, place: str) -> None:
    """Warn that genes are NaN because they are not modelled: plots of them stay empty."""
    if n:
        said = f"{n:,} of the {n_vars:,} genes are not modelled and are NaN in {place}"
        warnings.warn(f"{said}. {_TO_MODEL_MORE}", UserWarning, stacklevel=3)


def _batch_code(data: DataSpec, at_batch: str) -> int:
    if data.keys.batch_key is None:
        raise ConfigError(f"at_batch is {at_batch!r}, but the model was fitted without batch_key. Fit one with batch_key.")
    return int(level_codes([str(at_batch)], "at_batch", data.batches)[0])


def _positions(modelled: Sequence[str], genes: Sequence[str]) -> list[int]:
    """Where genes, all of which are in ``adata``, are among those modelled."""
    place = {name: i for i, name in enumerate(modelled)}
    others = [name for name in genes if name not in place]
    if others:
        named = ", ".join(others[:20]) + (f" and {len(others) - 20} more" if len(others) > 20 else "")
        said = f"{named} {'is' if len(others) == 1 else 'are'} in adata but not among the {len(place):,} genes that are modelled"
        raise MissingKeyError(f"{said}. {_TO_MODEL_MORE}")
    return [place[name] for name in genes]
