"""Position of cells along a process that begins at a known cell."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from ..checks import require_anndata
from ..environment import fingerprint
from ..errors import ConfigError, unknown
from ..infer import latent
from ..keys import KEYWORDS, spelled_out
from ..model import Autoencoder
from ._fit import TRAINING, Model, fitted
from ._latents import check_count, nearest
from ._writing import check_slots, note


@spelled_out(KEYWORDS | TRAINING)
def pseudotime(
    adata: AnnData, model: Model = "vae", start: str | int | None = None, *, n_neighbors: int = 15,
    key_added: str = "scae_pseudotime", overwrite: bool = False, **keywords: Any,
) -> Autoencoder:  # fmt: skip
    """Write each cell's distance from a start cell along the neighbour graph of the latent.

    The distance is the length of the shortest path through the graph that joins each cell to its nearest neighbours, divided by
    the longest, as in Isomap (Tenenbaum 2000).

    Parameters
    ----------
    adata : AnnData
        Cells × genes, raw counts.
    model : str, Preset, ModelSpec or Autoencoder
        The name of a preset, a preset or a specification, which is fitted and then applied; or a fitted model, which is applied,
        and takes no other keyword of a fit than ``layer``.
    start : str or int
        The cell at which the process begins: its name in ``obs_names``, or its position, from 0.
    n_neighbors : int
        Number of nearest neighbours to which each cell is joined. More neighbours bridge wider gaps, but also take short cuts.
    key_added : str
        ``obs`` key to write.
    overwrite : bool
        Replace what is there already under that name, even if scae has no record of having written it.
    %(keywords)s

    Returns
    -------
    Autoencoder
        The fitted model. Also writes ``obs[key_added]``, float32 from 0 at the start cell to 1 at the cell farthest from it, and
        NaN, with a warning, for cells to which no path leads.

    Raises
    ------
    MissingKeyError
        If there is no cell of that name.
    ConfigError
        If ``start`` is no single cell, or an option is not allowed.
    TypeError
        If a keyword is unknown.
    ScaeError
        If the counts, genes or options do not fit the model, see :func:`scae.tl.embed`.

    References
    ----------
    Tenenbaum, de Silva and Langford (2000), Science 290:2319, doi:10.1126/science.290.5500.2319. Tran et al. (2021), Nat. Commun.
    12:1029, doi:10.1038/s41467-021-21312-2.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.pseudotime(adata, "pca", start=0)
    >>> float(adata.obs["scae_pseudotime"].iloc[0])
    0.0
    """
    check_slots(adata, ("obs", key_added), overwrite=overwrite)
    check_count("n_neighbors", n_neighbors)
    first = _position(adata, start)
    fitted_model, source = fitted(adata, model, keywords)
    time = _along_graph(latent(fitted_model, source)[0], first, n_neighbors)
    if lost := int(np.isnan(time).sum()):
        warnings.warn(
            f"{lost} of {time.size} cells cannot be reached from the start cell and are NaN in obs[{key_added!r}]: gaps in "
            "the latent separate them from it. Choose a start cell among them, remove them, or raise n_neighbors.",
            UserWarning,
            stacklevel=2,
        )
    adata.obs[key_added] = time
    how = {"verb": "pseudotime", "start": str(adata.obs_names[first]), "n_neighbors": int(n_neighbors)}
    note(adata, fitted_model, f"obs[{key_added!r}]", **how, sha256=fingerprint(time))
    return fitted_model


def _position(adata: AnnData, start: str | int | None) -> int:
    """The row of the start cell."""
    require_anndata(adata)
    if isinstance(start, str):
        rows = np.flatnonzero(adata.obs_names == start)
        if not rows.size:
            raise unknown("cell", start, adata.obs_names, hint="start is a name in adata.obs_names, or a position from 0.")
        if rows.size > 1:
            raise ConfigError(f"start is {start!r}, the name of {rows.size} cells; allowed: one cell. Give its position instead.")
        return int(rows[0])
    if not isinstance(start, Integral) or isinstance(start, bool) or not 0 <= start < adata.n_obs:
        raise ConfigError(
            f"start is {start!r}; allowed: the name of a cell in adata.obs_names, or its position, 0 to {adata.n_obs - 1}. "
            "Choose one from the beginning of the process."
        )
    return int(start)


def _along_graph(z: NDArray[np.float32], first: int, n_neighbors: int) -> NDArray[np.float32]:
    """Length of the shortest path from one cell to each, ``(cells,)`` from 0 to 1; NaN where there is none."""
    import scipy.sparse as sp
    from scipy.sparse.csgraph import dijkstra

    distance, neighbor = nearest(z, n_neighbors)
    tiny = np.finfo(np.float64).tiny  # a stored zero would be no edge
    rows = np.repeat(np.arange(len(z)), neighbor.shape[1])
    graph = sp.csr_matrix((np.maximum(distance, tiny).ravel(), (rows, neighbor.ravel())), shape=(len(z), len(z)))
    length = dijkstra(graph, directed=False, indices=first)
    length[~np.isfinite(length)] = np.nan
    return (length / max(np.nanmax(length), tiny)).astype(np.float32)
