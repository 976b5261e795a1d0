"""Simulated counts of which the truth is known: separate groups, and a line of cells."""

from __future__ import annotations

import numpy as np
from anndata import AnnData

GENES = 60


def groups(sizes: tuple[int, ...] = (40, 30, 20), seed: int = 0) -> AnnData:
    """Groups with marker genes of their own, in mixed order; ``obs["group"]`` is the truth."""
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    rate = np.full((len(sizes), GENES), 1.0)
    for i in range(len(sizes)):
        rate[i, 10 * i : 10 * i + 10] = 15.0
    return _cells(rng.poisson(rate[group]), "group", np.array(["A", "B", "C", "D"])[group])


def line(n: int = 150, seed: int = 0, *, gap: bool = False) -> AnnData:
    """Cells along a line, each gene with its peak at a time of its own; ``obs["time"]`` 0 to 1. ``gap``: and a far group."""
    rng = np.random.default_rng(seed)
    time = rng.permutation(np.linspace(0, 1, n))
    peak = np.linspace(-0.1, 1.1, GENES)
    rate = 0.3 + 12 * np.exp(-((time[:, None] - peak) ** 2) / (2 * 0.15**2))
    x = np.hstack([rng.poisson(rate), np.zeros((n, 20), np.int64)])
    if gap:
        far = np.hstack([rng.poisson(np.full((30, GENES), 0.2)), rng.poisson(np.full((30, 20), 20.0))])
        x, time = np.vstack([x, far]), np.append(time, np.full(30, np.nan))
    return _cells(x, "time", time)


def _cells(x: np.ndarray, key: str, truth: np.ndarray) -> AnnData:
    adata = AnnData(x.astype(np.float32))
    adata.obs_names = [f"cell{i}" for i in range(len(x))]
    adata.obs[key] = truth
    return adata
