"""Clusters of cells, by the consensus of several fits."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from ..environment import fingerprint
from ..errors import ConfigError
from ..infer import latent
from ..keys import KEYWORDS, spelled_out
from ..model import Autoencoder
from ._consensus import Codes, clusterings, consensus
from ._fit import TRAINING, FitOptions, Model, fitted
from ._latents import check_count
from ._writing import check_slots, note

_MEMBERS = 9  # clusterings in a consensus, as in scDHA: more seeds of the clustering where there are fewer fits


@spelled_out(KEYWORDS | TRAINING)
def cluster(
    adata: AnnData, model: Model = "scdha", *, n_clusters: int | None = None, n_fits: int = 3, resolution: float = 0.4,
    n_neighbors: int = 15, key_added: str = "scae_cluster", overwrite: bool = False, **keywords: Any,
) -> Autoencoder:  # fmt: skip
    """Cluster cells by the consensus of several fits of a model.

    The model is fitted ``n_fits`` times. Each latent is clustered by the Leiden algorithm on its graph of shared neighbours, with
    several seeds, so that there are about nine clusterings. A consensus joins the clusters that share cells, and each cell goes
    where most of its clusters are.

    Parameters
    ----------
    adata : AnnData
        Cells × genes, raw counts.
    model : str, Preset, ModelSpec or Autoencoder
        The name of a preset, a preset or a specification, which is fitted; or a fitted model, whose latent alone is clustered,
        and which takes no other keyword of a fit than ``layer``.
    n_clusters : int, optional
        Number of clusters, at least 2. None: the median of what the clusterings find at ``resolution``.
    n_fits : int
        Number of fits, with the seeds ``random_state``, ``random_state + 1`` and so on.
    resolution : float
        Resolution of the Leiden algorithm; more clusters where it is higher. Not used with ``n_clusters``.
    n_neighbors : int
        Number of nearest neighbours of each cell in the graph.
    key_added : str
        ``obs`` key to write.
    overwrite : bool
        Replace what is there already under that name, even if scae has no record of having written it.
    %(keywords)s

    Returns
    -------
    Autoencoder
        The fitted model whose clusters agree best with the consensus; its latent is the one to plot. Also writes the categorical
        ``obs[key_added]``, with ``'0'`` for the largest cluster, and ``obs[f"{key_added}_confidence"]``, float32, the share of
        clusterings that put the cell there, 0 to 1.

    Raises
    ------
    ConfigError
        If an option is not allowed, such as more clusters than cells.
    TypeError
        If a keyword is unknown.
    ScaeError
        If the counts, genes or options do not fit the model, see :func:`scae.tl.embed`.

    References
    ----------
    Tran et al. (2021), Nat. Commun. 12:1029, doi:10.1038/s41467-021-21312-2. Strehl and Ghosh (2002), JMLR 3:583. Traag, Waltman
    and van Eck (2019), Sci. Rep. 9:5233, doi:10.1038/s41598-019-41695-z.

    Examples
    --------
    >>> adata = scae.datasets.pbmc68k_reduced()
    >>> model = scae.tl.cluster(adata, "pca", n_clusters=5, n_fits=1)
    >>> list(adata.obs["scae_cluster"].cat.categories)
    ['0', '1', '2', '3', '4']
    """
    check_slots(adata, ("obs", key_added), ("obs", f"{key_added}_confidence"), overwrite=overwrite)
    _check(adata, n_clusters, n_fits, resolution, n_neighbors)
    fits = [model] if isinstance(model, Autoencoder) else [model] * int(n_fits)
    repeats = -(-_MEMBERS // len(fits))
    n_clusters = None if n_clusters is None else int(n_clusters)
    how: dict[str, Any] = {"n_clusters": n_clusters, "resolution": float(resolution), "n_neighbors": int(n_neighbors)}
    models: list[Autoencoder] = []
    members: list[Codes] = []
    for i, each in enumerate(fits):
        fitted_model, source = fitted(adata, each, keywords if len(fits) == 1 else _of_fit(keywords, i))
        models.append(fitted_model)
        members += clusterings(latent(fitted_model, source)[0], list(range(repeats)), **how)
    codes, confidence = consensus(members, n_clusters)
    best = models[_closest(members, codes) // repeats]
    record = {"verb": "cluster", "n_fits": len(fits)} | how
    levels = [str(level) for level in range(int(codes.max()) + 1)]
    adata.obs[key_added] = pd.Categorical.from_codes(codes, categories=levels)
    note(adata, best, f"obs[{key_added!r}]", **record, sha256=fingerprint(codes))
    adata.obs[f"{key_added}_confidence"] = confidence
    note(adata, best, f"obs[{key_added + '_confidence'!r}]", **record, sha256=fingerprint(confidence))
    return best


def _check(adata: AnnData, n_clusters: int | None, n_fits: int, resolution: float, n_neighbors: int) -> None:
    """Refuse options before any fit."""
    check_count("n_fits", n_fits)
    check_count("n_neighbors", n_neighbors)
    if not isinstance(resolution, Real) or isinstance(resolution, bool) or not 0 < resolution < np.inf:
        raise ConfigError(f"resolution is {resolution!r}; allowed: a number above 0. For a given number, set n_clusters.")
    if n_clusters is not None:
        check_count("n_clusters", n_clusters, low=2)
        if n_clusters > adata.n_obs:
            raise ConfigError(f"n_clusters is {n_clusters}; allowed: at most {adata.n_obs}, the number of cells.")


def _of_fit(keywords: Mapping[str, Any], i: int) -> dict[str, Any]:
    """The keywords of the fit number ``i``: a seed and a folder of its own."""
    options = FitOptions.read(keywords)
    own: dict[str, Any] = {"random_state": int(options.random_state) + i}
    if options.checkpoint is not None:
        own["checkpoint"] = Path(options.checkpoint) / f"fit_{i}"
    return dict(keywords) | own


def _closest(members: list[Codes], codes: Codes) -> int:
    """The member that agrees best with the consensus, by adjusted Rand index."""
    from sklearn.metrics import adjusted_rand_score

    return int(np.argmax([adjusted_rand_score(one, codes) for one in members]))
