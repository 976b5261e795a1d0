"""A small file of real counts, a model fitted to it, and a ban on further fits."""

from __future__ import annotations

import numpy as np
import pytest

import scae

from .words import QUICK_PLAN


@pytest.fixture(scope="session")
def h5ad(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "counts.h5ad"
    adata = scae.datasets.pbmc68k_reduced()[:150].copy()
    adata.obs["batch"] = np.where(np.arange(150) % 2, "a", "b")
    adata.layers["logged"] = adata.X.log1p()
    adata.write_h5ad(path)
    return path


@pytest.fixture(scope="session")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "model.scae"
    adata = scae.datasets.pbmc68k_reduced()[:150].copy()
    scae.tl.fit(adata, plan=QUICK_PLAN, device="cpu").save(path)
    return path


@pytest.fixture
def no_fit(monkeypatch):
    monkeypatch.setattr("scae.tl._fit.train", lambda *_, **__: pytest.fail("a fit was started"))
