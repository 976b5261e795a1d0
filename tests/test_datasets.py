"""The counts that come with scanpy are recovered exactly."""

from __future__ import annotations

import numpy as np

import scae
from scae.checks import is_counts


def test_pbmc68k_reduced_gives_the_values_of_scanpy_after_normalisation():
    """The file of scanpy has log1p(counts · 10⁴ / n_counts), rounded to three decimals."""
    import scanpy as sc

    adata, shipped = scae.datasets.pbmc68k_reduced(), sc.datasets.pbmc68k_reduced()
    assert is_counts(adata.X)
    assert adata.X.min() == 0
    assert (adata.layers["counts"] != adata.X).nnz == 0
    assert not np.shares_memory(adata.X.data, adata.layers["counts"].data)
    total = adata.obs["n_counts"].to_numpy()
    assert (np.asarray(adata.X.sum(1)).ravel() <= total).all()
    normalised = np.log1p(adata.X.toarray() * (1e4 / total)[:, None])
    assert np.abs(normalised - shipped.raw.X.toarray()).max() < 1e-3
    assert adata.obs["bulk_labels"].nunique() == 10
    assert scae.check(adata).ok
