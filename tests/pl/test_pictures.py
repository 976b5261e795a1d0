"""What is drawn is what was given: the artists are read back."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from anndata import AnnData
from helpers import QUICK, counts_like, run_python
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

import scae
from scae.errors import ConfigError, MissingKeyError, NotFittedError
from scae.infer import expected
from scae.pl import _figure
from scae.tl.decoys import permuted
from scae.tl.fitting import fitted


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.fixture
def embedded(pbmc):
    pbmc.obsm["X_scae"] = np.random.default_rng(1).normal(size=(pbmc.n_obs, 5)).astype(np.float32)
    pbmc.obs["kind"] = pd.Categorical(np.where(np.arange(pbmc.n_obs) % 2, "odd", "even"))
    return pbmc


def points(panel, i=0):
    return np.asarray(panel.collections[i].get_offsets())


def test_history_draws_every_loss(pbmc):
    model = scae.tl.embed(pbmc, plan=scae.TrainPlan(epochs=10, min_steps=1, batch_size=64))
    rows = model.fitted["history"]["rows"]
    for given in (model, pbmc):
        whole, parts = scae.pl.history(given, show=False)
        drawn = {line.get_label(): line.get_xydata() for line in (*whole.lines, *parts.lines)}
        for label, name in {
            "training loss": "loss",
            "its likelihood part": "nll",
            "held-out loss": "held_out",
            "KL, weighted": "kl",
        }.items():
            assert np.array_equal(drawn[label], [[row["step"], row[name]] for row in rows])
        best = rows[model.fitted["history"]["best"]]
        assert drawn["kept"][0, 0] == best["step"]
        assert f"{best['epoch']:.3g}" in whole.get_title(loc="left")
        low, high = whole.get_ylim()
        assert low < min(row["held_out"] for row in rows) < high


def test_history_without_a_kl_term_is_one_panel(pbmc):
    model = scae.tl.fit(pbmc, "dca", plan=QUICK)
    (panel,) = scae.pl.history(model, show=False)
    assert isinstance(panel, Axes)
    with pytest.raises(NotFittedError, match="fit a model"):
        scae.pl.history(pbmc)
    with pytest.raises(ConfigError, match="a str"):
        scae.pl.history("model.scae")


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


@pytest.mark.parametrize("name", ["nb", "zinb", "poisson"])
def test_what_a_model_expects_is_its_distribution(name, rng):
    adata = AnnData(counts_like(rng, 60, 12))
    model = scae.tl.fit(adata, scae.ModelSpec(likelihood=scae.parts.find("likelihood", name)()), plan=QUICK)
    source = fitted(adata, model, {})[1]
    says, batch = expected(model, source), source.take(np.arange(len(source)))
    with torch.no_grad():
        law = model.spec.likelihood.dist(model.decode(model.encode(batch).z, batch)).base_dist
        counts = torch.arange(0.0, 400.0)[:, None, None]
        prob = torch.stack([law.log_prob(count.expand(60, 12)).double().exp() for count in counts])  # (counts, cells, genes)
    mean = (counts * prob).sum(0)
    noise = (counts**2 * prob).sum(0) - mean**2
    np.testing.assert_allclose(says.mean, mean.mean(0), rtol=1e-4)
    np.testing.assert_allclose(says.noise, noise.mean(0), rtol=1e-3)
    np.testing.assert_allclose(says.variance, noise.mean(0) + mean.var(0, correction=0), rtol=1e-3)
    np.testing.assert_allclose(says.zeros, prob[0].mean(0), rtol=1e-5)


def test_mean_variance_draws_the_genes_and_the_curves(pbmc, model):
    panel = scae.pl.mean_variance(pbmc, model, show=False)
    dense = pbmc.X.toarray().astype(float)
    seen = dense.var(0) > 0
    np.testing.assert_allclose(points(panel), np.stack([dense.mean(0), dense.var(0)], 1)[seen], rtol=1e-6)
    lines = {line.get_label(): line.get_xydata() for line in panel.lines}
    assert np.array_equal(lines["Poisson"][:, 0], lines["Poisson"][:, 1])
    assert (lines["noise, fitted"][:, 1] >= 0.99 * lines["noise, fitted"][:, 0]).all()
    assert (lines["noise and cells, fitted"][:, 1] >= lines["noise, fitted"][:, 1]).all()
    assert panel.get_xscale() == panel.get_yscale() == "log"


def test_zeros_draws_expected_against_observed(pbmc, model):
    panel = scae.pl.zeros(pbmc, model, n_labels=2, show=False)
    says = expected(model, fitted(pbmc, model, {})[1]).zeros
    observed = (pbmc.X.toarray() == 0).mean(0)
    np.testing.assert_allclose(points(panel), np.stack([says, observed], 1), atol=1e-9)
    assert f"{np.abs(says - observed).mean():.4f}" in panel.get_title(loc="left")
    worst = np.argsort(-np.abs(says - observed))[:2]
    assert {text.get_text() for text in panel.texts} == set(pbmc.var_names[worst])
    for name in ("bernoulli", "gaussian", "multinomial"):
        spec = scae.ModelSpec(likelihood=scae.parts.find("likelihood", name)())
        with pytest.raises(ConfigError, match="not one of counts"):
            scae.pl.zeros(pbmc, scae.tl.fit(pbmc, spec, plan=QUICK))


def test_permuted_copies_keep_the_share_and_nothing_else(rng):
    kind = rng.integers(0, 2, 2000)
    depth = rng.lognormal(0, 0.5, (2000, 1)) * (1 + kind[:, None])
    x = rng.poisson(depth * np.where(kind, 1, 8)[:, None] * np.ones((1, 1)))
    counts = sp.csr_matrix(np.hstack([x, rng.poisson(depth * 30 * np.ones((1, 20)))]).astype(np.float32))
    copies = permuted(counts, 0, 4, rng)
    total = counts.toarray().sum(1)
    rate = copies / total[:, None]
    assert rate.mean() == pytest.approx((counts.toarray()[:, 0] / total).mean(), rel=0.05)
    assert np.abs(np.corrcoef(np.hstack([rate, kind[:, None], total[:, None]]).T) - np.eye(6))[:4].max() < 0.1
    assert np.corrcoef(counts.toarray()[:, 0] / total, kind)[0, 1] < -0.5


def test_denoising_draws_the_genes_and_the_null(pbmc, model):
    scae.tl.denoise(pbmc, model)
    axes = scae.pl.denoising(pbmc, "CD3D", "LYZ", model, n_permutations=3, show=False)
    total = pbmc.X.toarray().sum(1, keepdims=True)
    raw = np.log1p(pbmc[:, ["CD3D", "LYZ"]].X.toarray() / total * 1e4)
    np.testing.assert_allclose(points(axes[0]), raw, rtol=1e-5)
    clean = np.log1p(pbmc[:, ["CD3D", "LYZ"]].layers["denoised"] / total * 1e4)
    np.testing.assert_allclose(points(axes[1]), clean, rtol=1e-3)
    for panel in axes[:3]:
        assert f"r = {np.corrcoef(points(panel).T)[0, 1]:.2f}" in panel.get_title(loc="left")
    assert sum(bar.get_height() for bar in axes[3].patches) == 9
    drawn = [line.get_xdata()[0] for line in axes[3].lines]
    np.testing.assert_allclose(drawn, [np.corrcoef(points(axes[i]).T)[0, 1] for i in (0, 1)], rtol=1e-6)
    assert "batch" in pbmc.obs
    assert list(pbmc.layers) == ["counts", "denoised"]
    again = scae.pl.denoising(pbmc, "CD3D", "LYZ", model, n_permutations=3, show=False)
    assert np.array_equal(points(again[2]), points(axes[2]))


def table():
    gaps = {"below_best": [0.2, 0.0, 0.03, 0.3], "below_best_se": [0.01, 0, 0.05, 0.01], "above_baseline": [0, 0.2, 0.17, -0.1]}
    names = {"model": ["PCA", "large", "small", "bad"], "kind": ["baseline", *["model"] * 3]}
    scores = {"deviance_explained": [0.1, 0.3, 0.27, 0.0], "se": 0.01, "above_baseline_se": 0.01}
    return pd.DataFrame(names | scores | gaps | {"n_parameters": [5, 300, 20, 100], "n_latent": 3, "seconds": 1.0})


def test_cross_validation_draws_scores_bars_baselines_and_the_choice():
    panel = scae.pl.cross_validation(table(), show=False)
    drawn = {c.get_label(): c for c in panel.containers}
    assert {name: c.lines[0].get_xydata()[0].tolist() for name, c in drawn.items()} == {
        "small": [0.27, 0], "bad": [0.0, 1], "large": [0.3, 2],
    }  # fmt: skip
    (bar,) = drawn["small"].lines[2][0].get_segments()
    np.testing.assert_allclose(bar[:, 0], [0.22, 0.32])
    assert to_hex(drawn["small"].lines[0].get_color()).upper() == _figure.ORANGE
    assert drawn["bad"].lines[0].get_markerfacecolor() == "white"
    assert {line.get_label(): line.get_xdata()[0] for line in panel.lines if line.get_label() in ("PCA", "best")} == {
        "PCA": 0.1, "best": 0.3,
    }  # fmt: skip
    assert panel.get_title(loc="left") == "choice: small"
    assert [text.get_text() for text in panel.get_yticklabels()] == ["small  (20)", "bad  (100)", "large  (300)"]


def test_labels_are_moved_apart():
    _, panel = plt.subplots()
    panel.plot([0, 1], [0, 1])
    labels = [_figure.beside(panel, 0.5, 0.5 + 1e-3 * i, f"label {i}") for i in range(4)]
    assert _figure.collide(panel.figure, labels)
    _figure.spread(panel, labels)
    assert not _figure.collide(panel.figure, labels)


@pytest.mark.parametrize(("suffix", "head"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_save_writes_the_file_and_axes_may_be_given(suffix, head, tmp_path):
    _, given = plt.subplots()
    path = tmp_path / f"a.{suffix}"
    assert scae.pl.cross_validation(table(), ax=given, save=path) is given
    assert path.read_bytes().startswith(head)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert plt.rcParams["axes.spines.top"]


@pytest.mark.parametrize(
    ("draw", "fault", "said"),
    [
        (lambda a, _: scae.pl.latent(a, "X_umapp"), MissingKeyError, "did you mean 'X_umap'"),
        (lambda a, _: scae.pl.latent(a, color="bulk_label"), MissingKeyError, "did you mean 'bulk_labels'"),
        (lambda a, _: scae.pl.latent(a, projection="tsne"), MissingKeyError, "'umap'"),
        (lambda a, _: scae.pl.latent(a, color="age", projection="pca", ax=plt.gca()), ConfigError, "2 panels"),
        (lambda a, m: scae.pl.denoising(a, "CD3", "LYZ", m), MissingKeyError, "did you mean"),
        (lambda a, m: scae.pl.denoising(a, "CD3D", "LYZ", m, layer="none"), MissingKeyError, "scae.tl.denoise"),
        (lambda a, m: scae.pl.denoising(a, "LYZ", "LYZ", m, layer="counts"), ConfigError, "two genes"),
        (lambda a, m: scae.pl.zeros(a, m, save="a.tif7"), ConfigError, "png"),
        (lambda a, m: scae.pl.mean_variance(a, m, save="no/a.png"), FileNotFoundError, "no folder no"),
    ],
)
def test_what_is_not_there_is_said(draw, fault, said, embedded, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(fault, match=said):
        draw(embedded, model)
    assert not list(tmp_path.iterdir())


def test_counts_need_not_be_in_x():
    adata = AnnData(counts_like(np.random.default_rng(0), 60, 30))
    small = scae.tl.fit(adata, plan=QUICK)
    moved = AnnData(np.log1p(adata.X), layers={"counts": adata.X})
    one, two = scae.pl.zeros(adata, small, show=False), scae.pl.zeros(moved, small, layer="counts", show=False)
    assert np.array_equal(points(one), points(two))


def test_matplotlib_loads_with_the_first_picture():
    assert run_python("import sys, scae; scae.pl.history; print('matplotlib.pyplot' in sys.modules)") == "False"


def test_a_notebook_stays_interactive(tmp_path):
    """A backend that makes pyplot interactive as it loads, as a notebook's does, finds it so after the first plot."""
    backend = "import matplotlib\nfrom matplotlib.backends.backend_agg import FigureCanvas\nmatplotlib.interactive(True)\n"
    (tmp_path / "live_backend.py").write_text(backend)
    code = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
import matplotlib.pyplot as plt
from scae.pl._figure import drawing
with drawing(1, None, show=False, save=None):
    pass
print(plt.isinteractive())
"""
    assert run_python(code, MPLBACKEND="module://live_backend") == "True"
