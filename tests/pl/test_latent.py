"""Each cell is drawn at its place and in its colour; each category is named once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

import scae
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


@pytest.mark.slow
def test_umap_is_scanpys(embedded):
    import scanpy as sc

    own = scae.pl.latent(embedded, beside_basis=None, show=False)[0]
    sc.pp.neighbors(embedded, use_rep="X_scae", random_state=0)
    sc.tl.umap(embedded, random_state=0)
    np.testing.assert_allclose(points(own), embedded.obsm["X_umap"][np.random.default_rng(0).permutation(200)], rtol=1e-5)
