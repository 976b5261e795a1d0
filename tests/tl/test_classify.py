"""Labels from labelled cells: exact where groups are apart, with probabilities that sum to one."""

from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData
from helpers import QUICK
from scipy.special import softmax
from scipy.stats import norm
from sklearn.neighbors import KNeighborsClassifier

import scae
from scae.bottlenecks import Gaussian
from scae.errors import ConfigError, MissingKeyError
from scae.priors import LabelNormal

from .groups import groups

PLAN = scae.TrainPlan(epochs=1, min_steps=150, max_steps=150, batch_size=32)
WITH_LABELS = scae.ModelSpec(bottleneck=Gaussian(dim=2, prior=LabelNormal()))


def partly_labelled(seed: int = 0) -> AnnData:
    """Half of the cells have their label in ``obs["known"]``."""
    adata = groups()
    known = adata.obs["group"].astype(object)
    known[np.random.default_rng(seed).random(adata.n_obs) < 0.5] = None
    adata.obs["known"] = known
    return adata


@pytest.fixture(scope="module")
def models() -> dict[str, scae.Autoencoder]:
    cells = partly_labelled()
    return {
        "knn": scae.tl.fit(cells, "pca", plan=PLAN),
        "prior": scae.tl.fit(cells, WITH_LABELS, label_key="known", plan=scae.TrainPlan(epochs=1, min_steps=400, max_steps=400)),
    }


each_method = pytest.mark.parametrize("method", ["knn", "prior"])


@each_method
def test_separate_groups_are_told_apart_and_probabilities_sum_to_one(models, method):
    adata = partly_labelled()
    scae.tl.classify(adata, models[method], "known", method=method, with_probabilities=True, n_neighbors=5)
    assert (adata.obs["scae_label"] == adata.obs["group"]).all()
    p = adata.obsm["scae_label_probabilities"]
    assert list(p.columns) == ["A", "B", "C"]
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(p.max(axis=1), adata.obs["scae_label_confidence"])
    assert (adata.obs["scae_label_confidence"][adata.obs["known"].notna()] == 1).all()


def test_neighbours_are_sklearns(models):
    adata = partly_labelled()
    scae.tl.classify(adata, models["knn"], "known", with_probabilities=True, n_neighbors=40)
    scae.tl.embed(adata, models["knn"])
    has = adata.obs["known"].notna().to_numpy()
    z = adata.obsm["X_scae"]
    votes = KNeighborsClassifier(40).fit(z[has], adata.obs["group"][has]).predict_proba(z[~has])
    np.testing.assert_allclose(adata.obsm["scae_label_probabilities"].to_numpy()[~has], votes, rtol=1e-6)
    assert (votes.max(1) < 1).any(), "not all agree"


def test_the_prior_is_bayes_rule(models):
    adata, model = partly_labelled(), models["prior"]
    adata.obs["known"] = np.where(np.arange(adata.n_obs) == 0, "A", None)
    scae.tl.classify(adata, model, "known", method="prior", with_probabilities=True)
    scae.tl.embed(adata, model)
    state = {name: value.numpy() for name, value in model.bottleneck.state_dict().items()}
    each = norm.logpdf(adata.obsm["X_scae"][:, None], state["mean"], np.exp(state["log_sd"])).sum(2) + np.log(state["share"])
    want = softmax(each, axis=1)
    np.testing.assert_allclose(adata.obsm["scae_label_probabilities"].to_numpy()[1:], want[1:], rtol=1e-3, atol=1e-6)


def test_a_model_that_knows_the_labels_needs_no_labelled_cell(models):
    adata = groups(seed=1)
    scae.tl.classify(adata, models["prior"], method="prior")
    assert (adata.obs["scae_label"] == adata.obs["group"]).all()


@each_method
def test_permuted_cells_get_permuted_labels(models, method, rng):
    adata, order = partly_labelled(), rng.permutation(90)
    shuffled = adata[order].copy()
    for cells in (adata, shuffled):
        scae.tl.classify(cells, models[method], "known", method=method, with_probabilities=True)
    one, other = (cells.obsm["scae_label_probabilities"] for cells in (adata, shuffled))
    np.testing.assert_allclose(one.iloc[order], other, atol=1e-5)
    assert (adata.obs["scae_label"].iloc[order] == shuffled.obs["scae_label"]).all()


def test_a_model_whose_prior_needs_labels_is_fitted_with_them():
    adata = partly_labelled()
    model = scae.tl.classify(adata, WITH_LABELS, "known", plan=QUICK)
    assert model.data.labels == ("A", "B", "C")
    assert model.data.keys.label_key == "known"


@pytest.mark.parametrize(
    ("change", "options", "error", "said"),
    [
        ("none", {}, ConfigError, "no label"),
        ("one", {}, ConfigError, "one label only, 'A'"),
        ("every", {}, ConfigError, "every cell has a value"),
        ("", {"labels": "type"}, MissingKeyError, "unknown obs column 'type'"),
        ("", {"labels": None}, ConfigError, "labels is None"),
        ("", {"method": "svm"}, ConfigError, "method is 'svm'"),
        ("", {"method": "prior"}, ConfigError, "'label_normal'"),
        ("", {"n_neighbors": 0}, ConfigError, "n_neighbors is 0"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_before_the_fit(change, options, error, said, monkeypatch):
    monkeypatch.setattr("scae.tl._fit.train", lambda *_, **__: pytest.fail("a fit was started"))
    adata = partly_labelled()
    adata.obs["known"] = {
        "none": None,
        "one": adata.obs["known"].where(adata.obs["known"] == "A", None),
        "every": adata.obs["group"],
        "": adata.obs["known"],
    }[change]
    before = list(adata.obs)
    with pytest.raises(error, match=said):
        scae.tl.classify(adata, "pca", **{"labels": "known", **options})
    assert list(adata.obs) == before
