"""A small file of real counts."""

from __future__ import annotations

import numpy as np
import pytest

import scae


@pytest.fixture(scope="session")
def h5ad(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "counts.h5ad"
    adata = scae.datasets.pbmc68k_reduced()[:150].copy()
    adata.obs["batch"] = np.where(np.arange(150) % 2, "a", "b")
    adata.layers["logged"] = adata.X.log1p()
    adata.write_h5ad(path)
    return path
