"""Each cell is drawn at its place and in its colour; each category is named once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import LogNorm, to_hex, to_rgb
from scipy.spatial.distance import pdist

import scae
from scae.errors import ConfigError, MissingKeyError
from scae.pl import _figure

from .artists import points


def test_latent_draws_each_cell_in_its_colour(embedded):
    own, pca = scae.pl.latent(embedded, color="kind", projection="first", random_state=4, show=False)
    order = np.random.default_rng(4).permutation(embedded.n_obs)
    assert np.array_equal(points(own), embedded.obsm["X_scae"][order, :2])
    assert np.array_equal(points(pca), embedded.obsm["X_pca"][order, :2])
    colors = [to_hex(c).upper() for c in own.collections[0].get_facecolors()]
    assert colors == [_figure.COLORS[code] for code in embedded.obs["kind"].cat.codes.to_numpy()[order]]
    axes = scae.pl.latent(embedded, color=["kind", "age"], projection="pca", beside_basis=None, show=False)
    assert np.array_equal(
        axes[1].collections[0].get_array(), embedded.obs["age"].to_numpy()[np.random.default_rng(0).permutation(200)]
    )
    assert "variance" in axes[0].get_xlabel()


def test_categories_are_named_once_each(embedded):
    embedded.obs["many"] = pd.Categorical([f"c{i % 20}" for i in range(embedded.n_obs)])
    embedded.obs.loc[embedded.obs_names[:3], "many"] = np.nan
    _, last = scae.pl.latent(embedded, color="many", projection="first", show=False)
    words = [text.get_text() for text in (*last.texts, *(last.get_legend().texts if last.get_legend() else ()))]
    assert sorted(words) == sorted([*embedded.obs["many"].cat.categories, "missing"])
    looks = {(k.get_color(), k.get_marker()) for k in last.get_legend().legend_handles}
    assert len(looks) == 21
    assert sum(len(c.get_offsets()) for c in last.collections) == embedded.n_obs


def test_a_missing_pca_is_made(embedded):
    embedded = embedded[:, :80].copy()
    del embedded.obsm["X_pca"]
    pca = scae.pl.latent(embedded, projection="first", show=False)[1]
    x = embedded.X.toarray().astype(float)
    logged = np.log1p(x / x.sum(1, keepdims=True) * 1e4)
    u, s, _ = np.linalg.svd(logged - logged.mean(0), full_matrices=False)
    order = np.random.default_rng(0).permutation(embedded.n_obs)
    np.testing.assert_allclose(np.abs(points(pca)), np.abs(u[order, :2] * s[:2]), rtol=1e-4, atol=1e-6)


def test_categories_that_lie_apart_are_named_in_place(embedded):
    embedded.obsm["X_scae"][:, 0] += 40 * (embedded.obs["kind"] == "odd")
    (own,) = scae.pl.latent(embedded, color="kind", projection="first", beside_basis=None, show=False)
    assert own.get_legend() is None
    places = {text.get_text(): text.xy[0] for text in own.texts}
    assert abs(places["even"]) < 5 < 35 < places["odd"]


def drawn(panel) -> list[str]:
    return [to_hex(c).upper() for c in panel.collections[0].get_facecolors()]


def test_genes_are_drawn_as_logarithms_of_counts_or_as_they_are(embedded):
    order = np.random.default_rng(0).permutation(embedded.n_obs)
    show = {"projection": "first", "beside_basis": None, "show": False}
    (counts,) = scae.pl.latent(embedded, color="CD3D", **show)
    x = embedded.X.toarray().astype(float)
    logged = np.log1p(x / x.sum(1, keepdims=True) * 1e4)
    column = embedded.var_names.get_loc("CD3D")
    np.testing.assert_allclose(counts.collections[0].get_array(), logged[order, column], rtol=1e-6)
    assert counts.child_axes[0].get_ylabel() == "CD3D, log1p(CP10k)"
    embedded.layers["denoised"] = np.full(embedded.shape, np.nan, np.float32)
    with pytest.raises(ConfigError, match=r"CD3D has no values in layers\['denoised'\]: it was not modelled"):
        scae.pl.latent(embedded, color="CD3D", layer="denoised", **show)
    embedded.layers["denoised"][:, column] = logged[:, column] - 1
    (layer,) = scae.pl.latent(embedded, color="CD3D", layer="denoised", **show)
    np.testing.assert_allclose(layer.collections[0].get_array(), logged[order, column] - 1, rtol=1e-5)
    with pytest.raises(MissingKeyError, match="unknown obs column or gene 'CD3': did you mean 'CD"):
        scae.pl.latent(embedded, color="CD3")


def test_totals_are_on_a_logarithmic_scale_and_ages_are_not(embedded):
    embedded.obs["total"] = np.geomspace(10, 10_000, embedded.n_obs)
    own, age = scae.pl.latent(embedded, color=["total", "age"], projection="first", beside_basis=None, show=False)
    assert isinstance(own.collections[0].norm, LogNorm)
    assert "logarithmic" in own.child_axes[0].get_ylabel()
    assert not isinstance(age.collections[0].norm, LogNorm)


def test_colours_of_categories_are_those_of_scanpy_and_written_for_it(embedded):
    show = {"projection": "first", "beside_basis": None, "show": False}
    codes = embedded.obs["kind"].cat.codes.to_numpy()[np.random.default_rng(0).permutation(embedded.n_obs)]
    scae.pl.latent(embedded[:100], color="kind", **show)
    assert "kind_colors" not in embedded.uns, "a view is not copied to write them"
    scae.pl.latent(embedded, color="kind", **show)
    assert embedded.uns["kind_colors"] == list(_figure.COLORS[:2])
    embedded.uns["kind_colors"] = np.array(["#112233", "#445566"])
    (own,) = scae.pl.latent(embedded, color="kind", **show)
    assert drawn(own) == [["#112233", "#445566"][code] for code in codes]
    embedded.uns["kind_colors"] = ["#112233"]  # of other categories
    (own,) = scae.pl.latent(embedded, color="kind", **show)
    assert set(drawn(own)) == set(_figure.COLORS[:2])
    assert embedded.uns["kind_colors"] == ["#112233"]


# what is left of linear RGB without red or green cones: Machado, Oliveira and Fernandes (2009), severity 1
SEEN = {
    "all cones": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


@pytest.mark.parametrize(("cones", "least"), [("all cones", 22), ("no red", 14.5), ("no green", 14.5)])
def test_no_two_of_the_colours_are_alike(cones, least):
    rgb = np.array([to_rgb(color) for color in _figure.MANY_COLORS])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ np.transpose(SEEN[cones])
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    xyz = np.clip(linear, 0, 1) @ np.transpose(to_xyz) / [0.95047, 1, 1.08883]
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)
    assert len(set(_figure.MANY_COLORS)) == 24
    assert pdist(lab).min() > least


def test_a_pca_is_made_of_counts_wherever_they_are(embedded):
    embedded = embedded[:, :80].copy()
    del embedded.obsm["X_pca"]
    embedded.layers["counts"] = embedded.X.copy()
    own = scae.pl.latent(embedded, projection="first", show=False)[1]
    embedded.X = embedded.X.log1p()
    assert np.array_equal(points(scae.pl.latent(embedded, projection="first", show=False)[1]), points(own))


@pytest.mark.slow
def test_umap_is_scanpys(embedded):
    import scanpy as sc

    own = scae.pl.latent(embedded, beside_basis=None, show=False)[0]
    sc.pp.neighbors(embedded, use_rep="X_scae", random_state=0)
    sc.tl.umap(embedded, random_state=0)
    np.testing.assert_allclose(points(own), embedded.obsm["X_umap"][np.random.default_rng(0).permutation(200)], rtol=1e-5)
