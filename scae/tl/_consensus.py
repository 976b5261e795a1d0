"""Clusters of a latent, and one clustering from several."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ._latents import canonical_order, nearest

if TYPE_CHECKING:
    import igraph

Codes = NDArray[np.int64]  # (cells,) cluster of each cell, from 0
_LEAST_SHARED = 1 / 15  # Jaccard index below which cells are not joined
_SEARCH = 25  # halvings of the range of resolutions


def clusterings(
    z: NDArray[np.float32], seeds: list[int], *, n_clusters: int | None, resolution: float, n_neighbors: int
) -> list[Codes]:
    """One clustering of a latent ``(cells, dim)`` per seed: Leiden on the graph of shared neighbours.

    With ``n_clusters`` the resolution is searched for. Where no resolution gives that number, k-means does.
    """
    order = canonical_order(z)
    back = np.argsort(order)
    graph = shared_neighbors(z[order], n_neighbors)
    found = []
    for seed in seeds:
        codes = leiden(graph, resolution, seed) if n_clusters is None else _of_number(graph, z[order], n_clusters, seed)
        found.append(codes[back])
    return found


def shared_neighbors(z: NDArray[np.float32], n_neighbors: int) -> igraph.Graph:
    """Cells joined by the share of their nearest neighbours that both have (Jaccard index; Levine 2015)."""
    import igraph

    n = len(z)
    neighbor = np.column_stack([np.arange(n), nearest(z, n_neighbors)[1]])  # each cell is a neighbour of its own
    k = neighbor.shape[1]
    near = sp.csr_matrix((np.ones(n * k), neighbor.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))
    edges = sp.triu(near @ near.T, 1).tocoo()
    weight = edges.data / (2 * k - edges.data)
    kept = weight >= _LEAST_SHARED
    return igraph.Graph(n, np.column_stack([edges.row, edges.col])[kept], edge_attrs={"weight": weight[kept]})


def leiden(graph: igraph.Graph, resolution: float, seed: int) -> Codes:
    """Communities by the Leiden algorithm (Traag 2019)."""
    with _random_numbers(seed):
        parts = graph.community_leiden("modularity", weights="weight", resolution=resolution, n_iterations=2)
    return np.array(parts.membership, np.int64)


@contextmanager
def _random_numbers(seed: int) -> Iterator[None]:
    """Let igraph draw from a generator of its own, then from Python's again."""
    import igraph

    igraph.set_random_number_generator(random.Random(seed))
    try:
        yield
    finally:
        igraph.set_random_number_generator(random)


def _of_number(graph: igraph.Graph, z: NDArray[np.float32], n_clusters: int, seed: int) -> Codes:
    low, high = 1e-4, 100.0
    for _ in range(_SEARCH):
        middle = (low * high) ** 0.5
        codes = leiden(graph, middle, seed)
        found = int(codes.max()) + 1
        if found == n_clusters:
            return codes
        low, high = (middle, high) if found < n_clusters else (low, middle)
    from sklearn.cluster import KMeans

    return KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(z).astype(np.int64)


def consensus(members: list[Codes], n_clusters: int | None) -> tuple[Codes, NDArray[np.float32]]:
    """One clustering from several, by meta-clustering (Strehl & Ghosh 2002, as in scDHA, Tran 2021).

    The clusters of all members are themselves clustered by the cells they share (Jaccard index, average linkage), and each cell
    goes to the group to which most of its clusters belong. This needs memory for cells × members, not cells × cells.

    Parameters
    ----------
    members
        Clusterings of the same cells, ``(cells,)`` each.
    n_clusters
        Number of clusters; None: the median of the members'.

    Returns
    -------
    tuple
        Codes ``(cells,)``, cluster 0 the largest, and the share ``(cells,)`` of members that agree. Where fewer groups than
        clusters get a cell, the codes are those of the member that agrees best with the others.
    """
    hot = sp.hstack([_one_hot(codes) for codes in members]).tocsr()  # (cells, clusters of all members)
    k = n_clusters or int(np.median([codes.max() + 1 for codes in members]) + 0.5)
    group = _grouped(hot, k)
    votes = hot @ _one_hot(group)  # (cells, groups)
    codes = np.asarray(votes.argmax(1)).ravel()
    if np.unique(codes).size < k:
        codes = members[_central(members)]
        group = np.asarray((hot.T @ _one_hot(codes)).argmax(1)).ravel()  # of each member's cluster, the one it overlaps most
        votes = hot @ _one_hot(group, int(codes.max()) + 1)
    agreement = np.asarray(votes.tocsr()[np.arange(len(codes)), codes]).ravel() / len(members)
    return _by_size(codes), agreement.astype(np.float32)


def _one_hot(codes: NDArray[Any], width: int | None = None) -> sp.csr_matrix:
    n = len(codes)
    return sp.csr_matrix((np.ones(n), codes, np.arange(n + 1)), shape=(n, int(codes.max()) + 1 if width is None else width))


def _grouped(hot: sp.csr_matrix, k: int) -> Codes:
    """Groups ``(clusters,)`` of clusters that share cells, from 0."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if hot.shape[1] == 1:
        return np.zeros(1, np.int64)
    common = (hot.T @ hot).toarray()
    size = common.diagonal()
    apart = 1 - common / (size[:, None] + size - common)
    return fcluster(linkage(squareform(apart, checks=False), "average"), k, "maxclust").astype(np.int64) - 1


def _central(members: list[Codes]) -> int:
    """The member that agrees best with the others, by adjusted Rand index."""
    from sklearn.metrics import adjusted_rand_score

    return int(np.argmax([np.mean([adjusted_rand_score(one, other) for other in members]) for one in members]))


def _by_size(codes: Codes) -> Codes:
    """Codes by falling size of the clusters; of two of one size, the one with the earlier cell is first."""
    _, first, inverse, counts = np.unique(codes, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(counts), np.int64)
    rank[np.lexsort([first, -counts])] = np.arange(len(counts))
    return rank[inverse.ravel()]
