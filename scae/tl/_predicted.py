"""What verbs that decode latents share: the covariates at which to decode, checked options, and the AnnData that they return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from ..decoding import KINDS, decoded
from ..errors import ConfigError, unknown
from ..io.room import require_memory
from ..model import Autoencoder
from ..source import CountMatrix
from ._inputs import assemble
from ._writing import note


def check_kind(model: Autoencoder, kind: str) -> None:
    """Refuse a kind of counts that there is not, or that the model's likelihood does not have.

    Raises
    ------
    ConfigError
        If it is something else.
    """
    if kind not in KINDS:
        hint = " What a cell's own counts add, only scae.tl.denoise can say." if str(kind).startswith("posterior") else ""
        raise ConfigError(f"kind is {kind!r}; allowed: {', '.join(map(repr, KINDS))}.{hint}")
    if kind == "log_mean":
        model.spec.likelihood.require_molecules("kind is 'log_mean'", ", or use kind='mean'")


def check_library_size(value: Any) -> float:
    """A library size as a float.

    Raises
    ------
    ConfigError
        If it is no finite number above 0.
    """
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 < float(value) < inf:
        raise ConfigError(f"library_size is {value!r}; allowed: a finite number above 0, in counts.")
    return float(value)


def covariates_of(
    model: Autoencoder, n: int, obs: pd.DataFrame | None, at_batch: str | None, given: Mapping[str, Any] | None
) -> pd.DataFrame:
    """The columns that a model needs to decode ``n`` latents: as given, otherwise those of ``obs``.

    Raises
    ------
    ConfigError, MissingKeyError
        If a column is neither given nor there, or one is given that the model does not use.
    """
    keys, values = model.data.keys, dict(given or {})
    if at_batch is not None:
        if keys.batch_key is None:
            raise ConfigError(f"at_batch is {at_batch!r}, but the model was fitted without batch_key. Fit one with batch_key.")
        values[keys.batch_key] = at_batch
    names = (*keys.categorical, *keys.continuous_covariates)
    for name in values:
        if name not in names:
            raise unknown("covariate", name, names, hint="Only covariates of the fit can be given.")
    frame = pd.DataFrame(index=pd.RangeIndex(n).astype(str) if obs is None else obs.index)
    for name in names:
        if name not in values and (obs is None or name not in obs):
            levels = dict(zip(keys.categorical, model.data.levels, strict=True)).get(name)
            allowed = "a number" if levels is None else f"one of {', '.join(map(repr, levels[:20]))}"
            raise ConfigError(
                f"the model was fitted with the covariate {name!r}, and nothing says its value here; allowed: {allowed}. Give "
                f"covariates={{{name!r}: ...}}{' or at_batch' if name == keys.batch_key else ''}."
            )
        column = values[name] if name in values else obs[name].to_numpy()  # type: ignore[index]
        frame[name] = _of_length(name, column, n, numeric=name in keys.continuous_covariates)
    return frame


def _of_length(name: str, value: Any, n: int, *, numeric: bool) -> NDArray[Any]:
    """One value, or one per latent, as ``(n,)``."""
    column = np.asarray(value).astype(object)
    if column.ndim > 1 or (column.ndim == 1 and column.size != n):
        raise ConfigError(f"the covariate {name!r} has shape {column.shape}; allowed: one value, or one for each of {n} latents.")
    column = np.broadcast_to(column, (n,))
    if not numeric:
        return column.astype(str)
    try:
        numbers = column.astype(float)
    except (TypeError, ValueError):
        numbers = np.full(n, np.nan)
    if not np.isfinite(numbers).all():
        raise ConfigError(f"the covariate {name!r} is {value!r}; allowed: finite numbers.")
    return numbers


def conditions(model: Autoencoder, obs: pd.DataFrame, library: NDArray | float) -> CountMatrix:
    """Cells without counts, with the covariates of ``obs`` and given library sizes: what a latent is decoded at."""
    data = replace(model.data, keys=replace(model.data.keys, size_factor=None))
    numbered = AnnData(obs=obs.set_axis(pd.RangeIndex(len(obs)).astype(str)))  # names may repeat
    cells = assemble(numbered, data, sp.csr_matrix((len(obs), data.n_genes), dtype=np.float32))
    return replace(cells, library=np.broadcast_to(np.asarray(library, np.float32).reshape(-1, 1), (len(obs), 1)).copy())


def check_memory(n: int, n_genes: int) -> None:
    """Refuse dense counts that do not fit into memory."""
    what = f"a table of expected counts of {n:,} cells × {n_genes:,} genes"
    require_memory(4 * n * n_genes, what, "Ask for fewer cells at a time, or for fewer genes.")


def predicted(
    model: Autoencoder,
    z: NDArray[np.float32],
    cells: CountMatrix,
    obs: pd.DataFrame,
    *,
    kind: str = "mean",
    seed: int = 0,
    genes: Sequence[int] | None = None,
    point: bool = True,
    **how: Any,
) -> AnnData:
    """The AnnData of what a model predicts at latents.

    Parameters
    ----------
    model
        A fitted model.
    z
        ``(cells, dim)``.
    cells
        Covariates and library sizes at which to decode, from :func:`conditions`.
    obs
        What to say of each cell.
    kind, seed, point
        As in :func:`scae.decoding.decoded`.
    genes
        Positions of the genes to keep; None for all.
    how
        What to record in ``uns["scae"]``.

    Returns
    -------
    AnnData
        Cells × genes. ``X`` holds counts, CSR if they are drawn and dense otherwise, float32; ``obsm["X_scae"]`` the latents.
    """
    names = model.data.genes if genes is None else [model.data.genes[i] for i in genes]
    if kind != "sample":
        check_memory(len(z), len(names))
    every = slice(None) if genes is None else list(genes)
    blocks = [block[:, every] for _, block in decoded(model, z, cells, kind=kind, seed=seed, point=point)]
    blocks.append(np.empty((0, len(names)), np.float32))  # no cells are an empty matrix
    x = sp.vstack([sp.csr_matrix(block) for block in blocks], format="csr") if kind == "sample" else np.concatenate(blocks)
    made = AnnData(x, obs=obs, var=pd.DataFrame(index=list(names)), obsm={"X_scae": z})
    for place in ("X", "obsm['X_scae']"):
        note(made, model, place, kind=kind, **how)
    return made
