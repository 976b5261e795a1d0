"""Clusters: those that are there, as many as asked for, the same in any order of the cells."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from anndata import AnnData
from helpers import QUICK, same_weights
from sklearn.metrics import adjusted_rand_score

import scae
from scae.errors import ConfigError
from scae.tl._consensus import consensus

from .groups import groups

PLAN = scae.TrainPlan(epochs=1, min_steps=150, max_steps=150, batch_size=32)


@pytest.fixture(scope="module")
def model() -> scae.Autoencoder:
    return scae.tl.fit(groups(), "pca", plan=PLAN)


def clustered(adata: AnnData, model, **options) -> np.ndarray:
    scae.tl.cluster(adata, model, **options)
    return adata.obs["scae_cluster"].to_numpy()


@pytest.mark.parametrize("n_clusters", [None, 3])
def test_separate_groups_are_found(model, n_clusters):
    adata = groups()
    codes = clustered(adata, model, n_clusters=n_clusters, resolution=0.5)
    assert adjusted_rand_score(adata.obs["group"], codes) == 1
    assert (adata.obs["scae_cluster_confidence"] == 1).all()
    assert list(adata.obs["scae_cluster"].value_counts(sort=False)) == [40, 30, 20], "the largest first"


@pytest.mark.parametrize("n_clusters", [2, 4, 7, 25, 90])
def test_there_are_as_many_clusters_as_asked_for(model, n_clusters):
    adata = groups()
    assert len(set(clustered(adata, model, n_clusters=n_clusters))) == n_clusters
    confidence = adata.obs["scae_cluster_confidence"]
    assert confidence.between(0, 1).all()
    assert confidence.dtype == np.float32


@pytest.mark.parametrize("n_clusters", [None, 5])
def test_the_order_of_cells_makes_no_difference(model, n_clusters, rng):
    adata, order = groups(), rng.permutation(90)
    shuffled = adata[order].copy()
    one, other = (clustered(cells, model, n_clusters=n_clusters) for cells in (adata, shuffled))
    assert adjusted_rand_score(one[order], other) == 1
    np.testing.assert_array_equal(adata.obs["scae_cluster_confidence"].to_numpy()[order], shuffled.obs["scae_cluster_confidence"])


def test_the_same_seed_gives_the_same_clusters_and_python_keeps_its_own_draws():
    random.seed(1)
    want = random.random()
    random.seed(1)
    one, other = groups(), groups()
    models = [scae.tl.cluster(cells, "pca", n_fits=2, plan=QUICK, random_state=5) for cells in (one, other)]
    assert random.random() == want
    assert same_weights(*models)
    assert models[0].fitted["random_state"] in (5, 6)
    assert one.obs.equals(other.obs)
    entry = json.loads(one.uns["scae"]["written"]["obs['scae_cluster']"])
    assert (entry["verb"], entry["n_fits"], entry["n_clusters"]) == ("cluster", 2, None)


def test_fits_are_saved_in_folders_of_their_own(tmp_path):
    scae.tl.cluster(groups(), "pca", n_fits=2, plan=QUICK, checkpoint=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fit_0", "fit_1"]


def test_a_consensus_of_the_same_clusters_is_these_clusters(rng):
    codes = rng.integers(0, 6, 300)
    renamed = [rng.permutation(6)[codes] for _ in range(5)]
    found, agreement = consensus(renamed, None)
    assert adjusted_rand_score(codes, found) == 1
    assert (agreement == 1).all()


def test_a_consensus_outvotes_what_one_member_has_wrong(rng):
    truth = np.repeat([0, 1, 2], 50)
    members = [np.where(rng.random(150) < 0.15, rng.integers(0, 3, 150), truth) for _ in range(9)]
    found, agreement = consensus(members, 3)
    assert adjusted_rand_score(truth, found) > max(adjusted_rand_score(truth, m) for m in members)
    assert 0.8 < agreement.mean() < 1


def test_few_groups_of_clusters_fall_back_on_one_member():
    """Two members that share nothing: the vote is a tie everywhere, and the number is kept."""
    one, other = np.array([0, 0, 1, 1] * 5), np.array([0, 1] * 10)
    found, agreement = consensus([one, other], 2)
    assert set(found) == {0, 1}
    assert ((agreement >= 0.5) & (agreement <= 1)).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n_clusters": 1}, "n_clusters is 1"),
        ({"n_clusters": 2.0}, "n_clusters is 2.0"),
        ({"n_clusters": 91}, "at most 90"),
        ({"n_fits": 0}, "n_fits is 0"),
        ({"resolution": 0}, "resolution is 0"),
        ({"resolution": float("inf")}, "resolution is inf"),
        ({"n_neighbors": True}, "n_neighbors is True"),
    ],
)
def test_wrong_options_are_refused_before_the_fit(options, said, monkeypatch):
    monkeypatch.setattr("scae.tl._fit.train", lambda *_, **__: pytest.fail("a fit was started"))
    adata = groups()
    with pytest.raises(ConfigError, match=said):
        scae.tl.cluster(adata, "pca", **options)
    assert list(adata.obs) == ["group"]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_very_few_cells(model, n):
    adata = groups()[:n].copy()
    assert clustered(adata, model).shape == (n,)
    if n > 1:
        assert len(set(clustered(adata, model, n_clusters=n))) == n
