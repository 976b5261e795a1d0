"""Ways through the latent: their ends, their steps, and where they lead."""

from __future__ import annotations

import numpy as np
import pytest

import scae
from scae.errors import ConfigError, MissingKeyError, SupportError
from scae.tl._interpolate import _along_graph, _at

from .calls import denoised, embedded
from .groups import line

PLAN = scae.TrainPlan(epochs=1, min_steps=300, max_steps=300, batch_size=32)


@pytest.fixture(scope="module")
def model() -> scae.Autoencoder:
    return scae.tl.fit(line(gap=True), "pca", plan=PLAN)


@pytest.mark.parametrize("path", ["straight", "graph"])
def test_the_ends_are_the_ends(model, path):
    adata = line()
    rates, z = denoised(adata, model, kind="rate"), embedded(adata, model)
    steps = scae.tl.interpolate(adata, model, "cell3", "cell70", 6, path=path)
    assert steps.obs["position"].tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    np.testing.assert_allclose(steps.X[[0, -1]], rates[[3, 70]], rtol=1e-4)
    np.testing.assert_allclose(steps.obsm["X_scae"][[0, -1]], z[[3, 70]], rtol=1e-5)


def test_ends_in_another_batch_and_groups(pbmc):
    fitted = scae.tl.fit(pbmc, plan=PLAN, batch_key="batch", categorical_covariates="donor", continuous_covariates="age")
    z = embedded(pbmc, fitted)
    rates = denoised(pbmc, fitted, kind="rate", at_batch="west")
    steps = scae.tl.interpolate(pbmc, fitted, pbmc.obs_names[0], pbmc.obs_names[1], 2, at_batch="west")
    np.testing.assert_allclose(steps.X[0], rates[0][: steps.n_vars], rtol=1e-4)
    assert set(steps.obs["batch"]) == {"west"}
    assert set(steps.obs["donor"]) == {pbmc.obs["donor"].iloc[0]}
    groups = scae.tl.interpolate(pbmc, fitted, "a", "c", 3, groupby="donor")
    np.testing.assert_allclose(groups.obsm["X_scae"][0], z[pbmc.obs["donor"] == "a"].mean(0), rtol=1e-4, atol=1e-5)
    assert groups.obs["age"].iloc[0] == pytest.approx(pbmc.obs.loc[pbmc.obs["donor"] == "a", "age"].mean())


def test_the_path_along_the_graph_stays_where_cells_are(rng):
    """Cells on three quarters of a circle: the straight line leads through its empty middle."""
    angle = np.sort(rng.uniform(0, 1.5 * np.pi, 400))
    z = np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    way = _along_graph(z, z[[0, -1]], 10)
    steps = _at(way, np.linspace(0, 1, 20))
    assert np.linalg.norm(steps, axis=1).min() > 0.98
    along = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
    np.testing.assert_allclose(np.diff(along), np.diff(along).mean(), rtol=0.1)  # at equal distances
    np.testing.assert_allclose(along[-1] - along[0], angle[-1] - angle[0], rtol=1e-3)


def test_cells_on_the_way_are_between_the_ends_and_supported(model):
    adata = line()
    first, last = (adata.obs_names[pick(adata.obs["time"])] for pick in (np.argmin, np.argmax))
    straight, along = (scae.tl.interpolate(adata, model, first, last, 20, path=path) for path in ("straight", "graph"))
    assert along.obs["support"].median() > straight.obs["support"].median()


@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("path", ["straight", "graph"])
def test_none_and_one(model, n, path):
    assert scae.tl.interpolate(line(), model, "cell0", "cell1", n, path=path).obs["position"].tolist() == [0.0] * n


def test_a_cell_to_itself(model):
    steps = scae.tl.interpolate(line(), model, "cell5", "cell5", 3)
    np.testing.assert_array_equal(steps.X[0], steps.X[2])


def test_what_is_not_allowed_is_refused(model):
    adata = line()
    with pytest.raises(MissingKeyError, match=r"unknown cell 'cel5'.*cell5"):
        scae.tl.interpolate(adata, model, "cel5", "cell6")
    with pytest.raises(MissingKeyError, match="unknown obs column 'type'"):
        scae.tl.interpolate(adata, model, "a", "b", groupby="type")
    with pytest.raises(ConfigError, match="path is 'curved'; allowed: 'straight', 'graph'"):
        scae.tl.interpolate(adata, model, "cell5", "cell6", path="curved")
    with pytest.raises(ConfigError, match=r"n is 2\.5"):
        scae.tl.interpolate(adata, model, "cell5", "cell6", 2.5)
    adata.obs_names = ["a"] * 2 + list(adata.obs_names[2:])
    with pytest.raises(ConfigError, match="the name of 2 cells"):
        scae.tl.interpolate(adata, model, "a", "cell6")


def test_a_gap_that_no_path_crosses_is_said(model):
    adata = line(gap=True)
    far = adata.obs_names[adata.obs["time"].isna()][0]
    with pytest.raises(SupportError, match="no path of the neighbour graph joins the ends"):
        scae.tl.interpolate(adata, model, "cell0", far, path="graph", n_neighbors=5)
