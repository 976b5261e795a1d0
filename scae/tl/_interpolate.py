"""Expected counts along a path from one cell, or group of cells, to another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from ..checks import require_anndata
from ..decoding import require_decodable
from ..errors import ConfigError, SupportError, unknown
from ..infer import latent
from ..model import Autoencoder
from ._fit import fitted, require_fitted
from ._latents import check_count, nearest
from ._predicted import check_library_size, conditions, covariates_of, predicted
from ._support import support

PATHS = ("straight", "graph")


def interpolate(
    adata: AnnData,
    model: Autoencoder,
    a: str,
    b: str,
    n: int = 10,
    *,
    groupby: str | None = None,
    path: str = "straight",
    n_neighbors: int = 15,
    library_size: float = 1e4,
    at_batch: str | None = None,
) -> AnnData:
    """Expected counts along a path through the latent space, from one cell or group to another.

    A straight line may lead through regions without cells, where the model has learned nothing: ``obs["support"]`` says so. The
    other path goes from cell to cell, along the edges of the neighbour graph whose summed squared lengths are smallest, which
    prefers many short steps where cells are dense to a few long ones (Bijral 2011).

    Parameters
    ----------
    adata : AnnData
        Cells × genes, raw counts; with the covariates of the fit in ``obs``.
    model : Autoencoder
        A fitted model.
    a, b : str
        The ends: names of cells in ``obs_names``, or with ``groupby`` two groups, each at the mean of its latents.
    n : int
        Number of steps, the ends included, at equal distances.
    groupby : str, optional
        ``obs`` column with the groups.
    path : str
        ``"straight"`` or ``"graph"``.
    n_neighbors : int
        Number of nearest neighbours to which each cell is joined, for ``path="graph"``.
    library_size : float
        Library size of the expected counts.
    at_batch : str, optional
        Level of ``batch_key`` at which to decode all steps; None: that of ``a``. Further covariates are always those of ``a``. Of
        a group, the most frequent level and the mean of a continuous covariate count.

    Returns
    -------
    AnnData
        Steps × genes: dense float32 ``X`` of expected counts; ``obs["position"]`` from 0 at ``a`` to 1 at ``b``;
        ``obs["support"]``, the share of cells that are at least as far from their tenth neighbour as the step is from its tenth;
        ``obsm["X_scae"]``, the latents; and a record in ``uns["scae"]``.

    Raises
    ------
    MissingKeyError
        If there is no such cell, group or column.
    SupportError
        If no path of the graph joins the ends.
    ConfigError
        If an option is not allowed, or a name is that of several cells.
    ScaeError
        If the counts do not fit the model.

    References
    ----------
    Bijral, Ratliff and Srebro (2011), UAI, arXiv:1202.3702. Lotfollahi et al. (2019), Nat. Methods 16:715,
    doi:10.1038/s41592-019-0494-8.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.fit(adata, plan=scae.TrainPlan(min_steps=20, epochs=1))
    >>> steps = scae.tl.interpolate(adata, model, "CD14+ Monocyte", "Dendritic", 5, groupby="bulk_labels")
    >>> steps.obs["position"].tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    require_fitted(model)
    require_decodable(model)
    require_anndata(adata)
    check_count("n", n, low=0)
    check_count("n_neighbors", n_neighbors)
    size = check_library_size(library_size)
    if path not in PATHS:
        raise ConfigError(f"path is {path!r}; allowed: {', '.join(map(repr, PATHS))}.")
    first, last = (_rows(adata, end, name, groupby) for name, end in (("a", a), ("b", b)))
    obs = covariates_of(model, 1, _typical(model, adata.obs.iloc[first]), at_batch, None)
    z = latent(model, fitted(adata, model, {})[1])[0]
    ends = np.stack([z[first].mean(0), z[last].mean(0)])
    way = _along_graph(z, ends, n_neighbors) if path == "graph" else ends
    position = np.linspace(0, 1, n)
    steps = _at(way, position)
    names = pd.Index([f"step{i}" for i in range(n)])
    frame = pd.DataFrame({name: np.repeat(obs[name].to_numpy(), n) for name in obs}, index=names)
    at = conditions(model, frame, size)
    frame = frame.assign(position=position, support=support(steps, z))
    how: dict[str, Any] = {"a": str(a), "b": str(b), "groupby": groupby, "path": path, "library_size": size}
    return predicted(model, steps, at, frame, verb="interpolate", **how)


def _rows(adata: AnnData, end: str, name: str, groupby: str | None) -> NDArray[np.int64]:
    """The cells of one end."""
    if groupby is not None and groupby not in adata.obs:
        raise unknown("obs column", groupby, adata.obs.columns, hint="groupby names the column with the groups.")
    values = adata.obs_names if groupby is None else adata.obs[groupby].astype(str)
    rows = np.flatnonzero(values == str(end))
    if not rows.size:
        known = adata.obs_names if groupby is None else sorted(set(values))
        raise unknown(
            "cell" if groupby is None else f"level of {groupby}", end, known, hint="Groups need groupby." * (not groupby)
        )
    if groupby is None and rows.size > 1:
        raise ConfigError(f"{name} is {end!r}, the name of {rows.size} cells; allowed: one cell. Make the names unique.")
    return rows


def _typical(model: Autoencoder, obs: pd.DataFrame) -> pd.DataFrame:
    """One row: the most frequent level of each categorical covariate that is there, and the mean of each continuous one."""
    keys = model.data.keys
    levels = {key: obs[key].astype(str).mode().iloc[:1].to_numpy() for key in keys.categorical if key in obs}
    means = {key: np.array([obs[key].astype(float).mean()]) for key in keys.continuous_covariates if key in obs}
    return pd.DataFrame(levels | means, index=["0"])


def _along_graph(z: NDArray[np.float32], ends: NDArray[np.float32], n_neighbors: int) -> NDArray[np.float32]:
    """The corners ``(corners, dim)`` of the path between two ends, of which each is joined to its nearest cells."""
    import scipy.sparse as sp
    from scipy.sparse.csgraph import dijkstra

    nodes = np.concatenate([z, ends])
    distance, neighbor = nearest(nodes, n_neighbors)
    lengths = np.maximum(distance**2, np.finfo(np.float64).tiny)  # a stored zero would be no edge
    rows = np.repeat(np.arange(len(nodes)), neighbor.shape[1])
    graph = sp.csr_matrix((lengths.ravel(), (rows, neighbor.ravel())), shape=(len(nodes), len(nodes)))
    start, here = len(z), len(z) + 1
    before = dijkstra(graph, directed=False, indices=start, return_predecessors=True)[1]
    if before[here] < 0:
        raise SupportError(
            f"no path of the neighbour graph joins the ends: a gap without cells separates them. Raise n_neighbors "
            f"({n_neighbors}), or use path='straight', whose support says where no cells are."
        )
    corners = [here]
    while corners[-1] != start:
        corners.append(int(before[corners[-1]]))
    return nodes[corners[::-1]]


def _at(way: NDArray[np.float32], position: NDArray[np.float64]) -> NDArray[np.float32]:
    """Points ``(n, dim)`` at shares of the length of a way with corners ``(corners, dim)``."""
    length = np.append(0, np.cumsum(np.linalg.norm(np.diff(way, axis=0), axis=1)))
    corner = np.arange(len(way)) if length[-1] else np.zeros(len(way))
    place = np.interp(position, length / (length[-1] or 1), corner)  # in corners, with the share of the way to the next
    lower = np.minimum(place.astype(int), len(way) - 2)
    share = (place - lower)[:, None].astype(np.float32)
    return way[lower] * (1 - share) + way[lower + 1] * share
