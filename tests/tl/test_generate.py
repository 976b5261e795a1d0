"""Generated cells: moments of a toy of which they are known, like the cells given, by label and batch, by seed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from helpers import data_of

import scae
from scae.bottlenecks import VQ, Binary, Deterministic, Gaussian, Hierarchical, Sparse
from scae.errors import CategoryError, ConfigError, MissingKeyError
from scae.likelihoods import Poisson
from scae.model import Autoencoder, ModelSpec
from scae.networks import MLP
from scae.priors import LabelNormal, Mixture, Simplex, Vamp
from scae.tl._density import Density

from .groups import groups

PLAN = scae.TrainPlan(epochs=1, min_steps=200, max_steps=200, batch_size=32)
SHORT = scae.TrainPlan(epochs=1, min_steps=40, max_steps=40, batch_size=32)


@pytest.fixture(scope="module")
def cells():
    adata = groups((80, 60, 40))
    adata.obs["batch"] = np.where(np.arange(180) % 3 == 0, "a", "b")
    adata.obs.loc[adata.obs["group"] == "C", "batch"] = "a"
    return adata


@pytest.fixture(scope="module")
def fitted(cells) -> scae.Autoencoder:
    return scae.tl.fit(cells, plan=PLAN, batch_key="batch", device="cpu")


def toy() -> tuple[Autoencoder, np.ndarray, np.ndarray]:
    """x ~ Poisson(exp(b + w z)), z ~ N(0, 1), at the median library size of 20 counts."""
    network = MLP(hidden=(), decoder_hidden=(), norm="none")
    spec = ModelSpec(network=network, bottleneck=Gaussian(dim=1), likelihood=Poisson(link="exp"))
    model = Autoencoder(spec, data_of(3), torch.Generator().manual_seed(0))
    weight, bias = np.array([0.4, -0.3, 0.0]), np.array([1.0, 1.5, 0.5])
    readout = model.heads.decoders[0].readouts["mean"]
    readout.weight.data[:, 0] = torch.tensor(weight)
    readout.bias.data[:] = torch.tensor(bias)
    return model, weight, bias


def test_draws_from_the_prior_of_a_linear_gaussian_toy_have_its_moments():
    model, weight, bias = toy()
    adata = AnnData(np.ones((30, 3), np.float32), var=pd.DataFrame(index=["g0", "g1", "g2"]))
    x = scae.tl.generate(adata, model, 40_000, prior="prior", library_size=20.0).X.toarray()
    mean = np.exp(bias + weight**2 / 2)
    covariance = np.outer(mean, mean) * np.expm1(np.outer(weight, weight)) + np.diag(mean)
    np.testing.assert_allclose(x.mean(0), mean, rtol=0.03)
    np.testing.assert_allclose(np.cov(x.T), covariance, atol=0.15)


def test_aggregate_latents_have_the_moments_of_the_cells(cells, fitted):
    scae.tl.embed(cells, fitted, overwrite=True)
    z = cells.obsm["X_scae"]
    new = scae.tl.generate(cells, fitted, 20_000, random_state=1)
    spread = z.std(0)
    assert np.abs((new.obsm["X_scae"].mean(0) - z.mean(0)) / spread).max() < 0.05
    assert np.abs(np.cov((new.obsm["X_scae"] / spread).T) - np.cov((z / spread).T)).max() < 0.12
    real, drawn = np.asarray(cells.X).mean(0), np.asarray(new.X.mean(0)).ravel()
    assert np.corrcoef(real, drawn)[0, 1] > 0.99
    assert abs(new.obs["library_size"].mean() / cells.X.sum(1).mean() - 1) < 0.03
    assert 0.3 < new.obs["support"].median() < 0.7


def test_a_density_keeps_what_library_sizes_tell_of_latents(rng):
    z = rng.normal(size=(500, 2)).astype(np.float32)
    library = np.exp(6 + 0.5 * z[:, 0])
    drawn, sizes, like = Density(z, library, 0).draw(5000, rng)
    assert np.corrcoef(drawn[:, 0], np.log(sizes))[0, 1] > 0.97
    assert sizes.min() >= library.min() * 0.999
    assert sizes.max() <= library.max() * 1.001
    assert like.max() < 500
    one = Density(z[:1], library[:1], 0).draw(3, rng)[0]
    np.testing.assert_allclose(one, np.repeat(z[:1], 3, axis=0), atol=0.1)


def test_labels_and_batches_are_those_asked_for(cells, fitted):
    new = scae.tl.generate(cells, fitted, 300, label="B", label_key="group", batch="a")
    assert set(new.obs["group"]) == {"B"}
    assert set(new.obs["batch"]) == {"a"}
    real = cells[cells.obs["group"] == "B"].X.mean(0)
    assert np.corrcoef(np.asarray(new.X.mean(0)).ravel(), real)[0, 1] > 0.95
    every = scae.tl.generate(cells, fitted, 2000, label_key="group").obs
    shares = every["group"].value_counts(normalize=True)
    np.testing.assert_allclose(shares[["A", "B", "C"]], [80 / 180, 60 / 180, 40 / 180], atol=0.04)
    assert set(every.loc[every["group"] == "C", "batch"]) == {"a"}


def test_a_label_never_seen_in_a_batch_is_drawn_with_a_warning(cells, fitted):
    with pytest.warns(UserWarning, match="no cell of adata has batch 'b' and the label 'C'"):
        new = scae.tl.generate(cells, fitted, 20, label="C", label_key="group", batch="b")
    assert set(new.obs["batch"]) == {"b"}


@pytest.mark.parametrize("prior", ["aggregate", "prior"])
def test_the_same_seed_gives_the_same_cells(cells, fitted, prior):
    one, same, other = (scae.tl.generate(cells, fitted, 30, prior=prior, random_state=seed) for seed in (4, 4, 5))
    assert (one.X != same.X).nnz == 0 < (one.X != other.X).nnz
    assert one.obsm["X_scae"].tobytes() == same.obsm["X_scae"].tobytes()
    assert one.obs.equals(same.obs)
    assert one.X.format == "csr"
    assert one.X.dtype == np.float32
    assert (one.X.data == one.X.data.round()).all()


@pytest.mark.parametrize("prior", ["aggregate", "prior"])
@pytest.mark.parametrize("n", [0, 1])
def test_none_and_one(cells, fitted, prior, n):
    new = scae.tl.generate(cells, fitted, n, prior=prior, library_size=100)
    assert new.shape == (n, 60)
    assert list(new.obs) == ["batch", "library_size", "support"]
    assert (new.obs["library_size"] == 100).all()


BOTTLENECKS = {
    "vamp": Gaussian(dim=3, prior=Vamp()),
    "mixture": Gaussian(dim=3, prior=Mixture()),
    "simplex": Gaussian(dim=3, prior=Simplex()),
    "hierarchical": Hierarchical(dim=3, top_dims=(2,)),
    "codes": VQ(dim=4, n_codes=4, n_books=2, quantization="residual"),
    "product": VQ(dim=4, n_codes=4, n_books=2, quantization="product"),
    "bits": Binary(dim=5),
    "sparse": Sparse(dim=6, k=2),
    "plain": Deterministic(dim=3),
}


@pytest.mark.parametrize("name", BOTTLENECKS)
def test_latents_are_ones_that_the_bottleneck_could_give(cells, name):
    bottleneck = BOTTLENECKS[name]
    model = scae.tl.fit(cells, ModelSpec(bottleneck=bottleneck), plan=SHORT, device="cpu")
    priors = ["aggregate"] if name in ("sparse", "plain") else ["aggregate", "prior"]
    for prior in priors:
        z = scae.tl.generate(cells, model, 50, prior=prior).obsm["X_scae"]
        assert len(np.unique(z, axis=0)) > 1
        if name == "simplex":
            np.testing.assert_allclose(z.sum(1), 1, rtol=1e-5)
        if name == "bits":
            assert set(np.unique(z)) <= {0.0, 1.0}
        if name == "sparse":
            assert (z >= 0).all()
            assert ((z > 0).sum(1) <= 2).all()
        if name == "product":
            halves = {tuple(row) for row in np.round(z[:, :2], 4)}
            assert len(halves) <= 4
    if len(priors) == 1:
        with pytest.raises(ConfigError, match=r"has no prior to draw from: use prior='aggregate'"):
            scae.tl.generate(cells, model, 50, prior="prior")


def test_the_joint_frequency_of_codes_is_that_of_the_label(cells):
    """Codes of one group only are never drawn for another."""
    model = scae.tl.fit(cells, ModelSpec(bottleneck=VQ(dim=3, n_codes=8)), plan=SHORT, device="cpu")
    scae.tl.embed(cells, model, overwrite=True)
    own = set(cells.obs.loc[cells.obs["group"] == "A", "X_scae_code"].astype(int))
    book = model.bottleneck.codebook[0].numpy()
    z = scae.tl.generate(cells, model, 200, label="A", label_key="group").obsm["X_scae"]
    drawn = set(np.square(z[:, None] - book).sum(2).argmin(1).tolist())
    assert drawn <= own


def test_a_prior_with_labels_draws_by_label(cells):
    spec = ModelSpec(bottleneck=Gaussian(dim=3, prior=LabelNormal()))
    model = scae.tl.fit(cells, spec, plan=SHORT, label_key="group", device="cpu")
    new = {label: scae.tl.generate(cells, model, 200, label=label, prior="prior") for label in "AB"}
    means = model.bottleneck.mean.detach().numpy()
    for i, label in enumerate("AB"):
        assert set(new[label].obs["group"]) == {label}
        sd = model.bottleneck.log_sd.detach().exp().numpy()[i]
        assert (np.abs(new[label].obsm["X_scae"].mean(0) - means[i]) < 5 * sd / np.sqrt(200)).all()


def test_what_is_not_allowed_is_refused(cells, fitted):
    cases = {
        r"n is -1": {"n": -1},
        r"prior is 'vamp'; allowed: 'aggregate', 'prior'": {"prior": "vamp"},
        "there is no label_key": {"label": "A"},
        "knows no labels": {"label": "A", "label_key": "group", "prior": "prior"},
        "library_size is nan": {"library_size": float("nan")},
    }
    for said, options in cases.items():
        with pytest.raises(ConfigError, match=said):
            scae.tl.generate(cells, fitted, **options)
    with pytest.raises(MissingKeyError, match="unknown level of group 'Z'"):
        scae.tl.generate(cells, fitted, label="Z", label_key="group")
    with pytest.raises(CategoryError, match="'c'"):
        scae.tl.generate(cells, fitted, batch="c")
    with pytest.raises(ConfigError, match=r"adata is a .*; allowed: an AnnData"):
        scae.tl.generate(None, fitted)


def test_what_was_generated_can_be_embedded_and_is_recorded(cells, fitted, tmp_path):
    new = scae.tl.generate(cells, fitted, 20)
    scae.tl.embed(new, fitted)
    new.write_h5ad(tmp_path / "new.h5ad")
    assert "X" in new.uns["scae"]["written"]
