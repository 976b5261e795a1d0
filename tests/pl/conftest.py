"""Plots are drawn without a window and closed after each test."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.fixture
def embedded(pbmc):
    pbmc.obsm["X_scae"] = np.random.default_rng(1).normal(size=(pbmc.n_obs, 5)).astype(np.float32)
    pbmc.obs["kind"] = pd.Categorical(np.where(np.arange(pbmc.n_obs) % 2, "odd", "even"))
    return pbmc
