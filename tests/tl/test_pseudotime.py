"""Pseudotime: zero at the start, along the line of cells, and NaN beyond a gap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

import scae
from scae.errors import ConfigError, MissingKeyError

from .groups import line

PLAN = scae.TrainPlan(epochs=1, min_steps=300, max_steps=300, batch_size=32)


@pytest.fixture(scope="module")
def model() -> scae.Autoencoder:
    return scae.tl.fit(line(gap=True), "pca", plan=PLAN)


@pytest.mark.parametrize("end", ["first", "last"])
def test_cells_on_a_line_are_put_in_order(model, end):
    adata = line()
    start = int(np.argmin(adata.obs["time"]) if end == "first" else np.argmax(adata.obs["time"]))
    scae.tl.pseudotime(adata, model, adata.obs_names[start])
    found = adata.obs["scae_pseudotime"]
    assert spearmanr(found, adata.obs["time"])[0] * (1 if end == "first" else -1) > 0.95
    assert found.iloc[start] == 0 == found.min()
    assert found.max() == 1
    assert found.dtype == np.float32


def test_cells_beyond_a_gap_are_nan_with_a_warning(model):
    adata = line(gap=True)
    with pytest.warns(UserWarning, match="30 of 180 cells cannot be reached"):
        scae.tl.pseudotime(adata, model, int(np.nanargmin(adata.obs["time"])), n_neighbors=5)
    assert (adata.obs["scae_pseudotime"].isna() == adata.obs["time"].isna()).all()


def test_permuted_cells_keep_their_times(model, rng):
    adata, order = line(), rng.permutation(150)
    shuffled = adata[order].copy()
    for cells in (adata, shuffled):
        scae.tl.pseudotime(cells, model, "cell3")
    np.testing.assert_allclose(adata.obs["scae_pseudotime"].iloc[order], shuffled.obs["scae_pseudotime"], atol=1e-5)


def test_one_cell_is_at_zero(model):
    adata = line()[:1].copy()
    scae.tl.pseudotime(adata, model, 0)
    assert adata.obs["scae_pseudotime"].tolist() == [0.0]


@pytest.mark.parametrize("start", [None, -1, 150, 1.0, True])
def test_a_start_that_is_no_cell_is_refused(start, monkeypatch):
    monkeypatch.setattr("scae.tl._fit.train", lambda *_, **__: pytest.fail("a fit was started"))
    with pytest.raises(ConfigError, match="allowed: the name of a cell"):
        scae.tl.pseudotime(line(), "pca", start)


def test_names_that_are_unknown_or_not_unique_are_refused():
    adata = line()
    with pytest.raises(MissingKeyError, match="did you mean 'cell3"):
        scae.tl.pseudotime(adata, "pca", "cel3")
    adata.obs_names = ["a"] * 2 + list(adata.obs_names[2:])
    with pytest.raises(ConfigError, match="the name of 2 cells"):
        scae.tl.pseudotime(adata, "pca", "a")
