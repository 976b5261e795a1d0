"""Molecular cross-validation is its formula, and the choice is its rule."""

from __future__ import annotations

import io
import json

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from helpers import QUICK, counts_like

import scae
from scae import config
from scae.errors import ConfigError, MissingKeyError
from scae.tl import baselines, splits
from scae.tl.choosing import summarize

SHORT = scae.TrainPlan(epochs=1, min_steps=150, max_steps=150, batch_size=64, held_out=0.0)


def poisson_deviance(x, mu):
    mu = np.maximum(mu, 1e-9)
    return 2 * (np.where(x > 0, x * np.log(np.where(x > 0, x, 1) / mu), 0) - x + mu)


@pytest.fixture
def fold(rng):
    dense = counts_like(rng, 700, 40)
    dense[5] = 0
    x = sp.csr_matrix(dense)
    return splits.split(x, 0.8, 3), x


def means(blocks):
    return np.concatenate([block for _, block in blocks])


def test_a_split_is_a_binomial_one(fold):
    made, x = fold
    assert 5 not in made.cells
    assert (made.train + made.test != x[made.cells]).nnz == 0
    assert made.odds == pytest.approx(0.25)
    assert made.train.sum() / x.sum() == pytest.approx(0.8, abs=0.01)
    assert all(part.has_sorted_indices and (part.data > 0).all() for part in (made.train, made.test))


def test_deviance_is_its_formula_and_blocks_are_bounded(fold, rng):
    made, _ = fold
    mu = rng.gamma(1, 1, made.train.shape)
    mu[:, 3] = 0  # impossible genes meet the floor
    blocks = [(rows, mu[rows]) for rows in splits.row_blocks(len(mu))]
    assert len(blocks) == 2
    assert max(len(block) for _, block in blocks) <= splits.BLOCK
    expected = poisson_deviance(made.test.toarray(), mu * made.odds).sum(1)
    np.testing.assert_allclose(splits.deviance(made.test, blocks, made.odds), expected, rtol=1e-12)


def test_null_is_total_times_share(fold):
    made, _ = fold
    dense = made.train.toarray().astype(float)
    np.testing.assert_allclose(means(splits.null(made.train)), dense.sum(1, keepdims=True) * dense.sum(0) / dense.sum())


def test_standard_error_over_cells_is_that_of_the_bootstrap(rng):
    null = rng.gamma(5, 20, 400)
    left = null * rng.normal(0.7, 0.1, 400)
    value, se = splits.ratio(null - left, null)
    assert value == pytest.approx(1 - left.sum() / null.sum())
    draws = rng.integers(0, 400, (4000, 400))
    assert se == pytest.approx((1 - left[draws].sum(1) / null[draws].sum(1)).std(), rel=0.1)


def test_the_weight_of_a_cells_own_counts_is_the_best_one(rng):
    rates = rng.gamma(1.5, 3, (300, 30))
    outer = splits.split(sp.csr_matrix(rng.poisson(rates).astype(np.float32)), 0.9, 0)
    inner = splits.split(outer.train, 0.9, 1)
    weight = baselines._weight(inner)
    own, mean, x = inner.train.toarray(), means(splits.null(inner.train)), inner.test.toarray()
    tried = np.linspace(0, 1, 401)
    losses = [poisson_deviance(x, (w * own + (1 - w) * mean) * inner.odds).sum() for w in tried]
    assert weight == pytest.approx(tried[np.argmin(losses)], abs=0.004)
    assert 0.1 < weight < 0.9
    shrunk = means(baselines.shrunk(outer, 0.9, 7)[0])
    np.testing.assert_allclose(shrunk.sum(1), np.asarray(outer.train.sum(1)).ravel(), rtol=1e-5)


def test_pca_is_the_dense_one_with_each_genes_total_given_back(fold):
    made, _ = fold
    x = made.train.toarray().astype(float)
    total = x.sum(1, keepdims=True)
    logged = np.log1p(x / total * 1e4)
    u, s, v = np.linalg.svd(logged - logged.mean(0), full_matrices=False)
    rate = np.expm1(np.maximum((u[:, :3] * s[:3]) @ v[:3] + logged.mean(0), 0))
    rate *= total / rate.sum(1, keepdims=True)
    rate *= x.sum(0) / rate.sum(0)
    rate *= total / rate.sum(1, keepdims=True)
    np.testing.assert_allclose(means(baselines._pca(made.train, 0)(3)), rate, rtol=1e-6, atol=1e-9)


def test_a_models_score_is_the_protocols(pbmc):
    table = scae.tl.cross_validate(pbmc, {"mine": "denoiser"}, n_splits=2, plan=QUICK, random_state=5)
    row = table[(table["model"] == "mine") & (table["split"] == 1)].iloc[0]
    outer = int(np.random.SeedSequence([5, 1]).generate_state(2)[0])
    made = splits.split(sp.csr_matrix(pbmc.X), 0.9, outer)
    train, x = AnnData(made.train, var=pbmc.var[[]]), made.test.toarray()
    model = scae.tl.denoise(train, "denoiser", plan=QUICK, random_state=5)
    dense = made.train.toarray()
    null = dense.sum(1, keepdims=True) * (dense.sum(0) / dense.sum()) / 9
    expected = 1 - poisson_deviance(x, train.layers["denoised"] / 9).sum() / poisson_deviance(x, null).sum()
    assert row["deviance_explained"] == pytest.approx(expected, abs=1e-5)
    assert (row["n_parameters"], row["n_latent"]) == (sum(p.numel() for p in model.parameters()), 32)


def test_differences_are_paired(pbmc):
    specs = {"four": scae.tl.grid("denoiser", bottleneck_dim=[4])["denoiser"], "full": "denoiser"}
    table = scae.tl.cross_validate(pbmc, specs, n_splits=2, plan=QUICK).set_index(["split", "model"])
    score = table["deviance_explained"].unstack()
    best, base = score[["four", "full"]].mean().idxmax(), score[[*baselines.BASELINES]].mean().idxmax()
    for column, expected in (("below_best", score.rsub(score[best], axis=0)), ("above_baseline", score.sub(score[base], axis=0))):
        np.testing.assert_allclose(table[column].unstack()[score.columns], expected, atol=1e-12)
    assert (score["gene mean"] == 0).all()
    assert (table.xs(best, level="model")[["below_best", "below_best_se"]] == 0).all(axis=None)


def structured(rng, cells=500, genes=60):
    kind = rng.integers(0, 3, cells)
    rates = rng.gamma(0.5, 1.0, (3, genes))[kind]
    depth = rng.lognormal(4.5, 0.3, (cells, 1))
    mean = depth * rates / rates.sum(1, keepdims=True)
    return AnnData(rng.poisson(mean).astype(np.float32), layers={"mean": mean})


def noise(rng, cells=500, genes=60):
    share, depth = rng.dirichlet(np.full(genes, 0.5)), rng.lognormal(4.5, 0.3, (cells, 1))
    return AnnData(rng.poisson(depth * share).astype(np.float32))


def test_structure_is_denoised_and_noise_is_not(rng):
    specs = scae.tl.grid("denoiser", bottleneck_dim=[2, 16])
    adata = structured(rng)
    table = scae.tl.cross_validate(adata, specs, n_splits=2, plan=SHORT)
    choice = scae.tl.choose(table)
    assert choice.model in specs
    best = table[table["kind"] == "model"].groupby("model")["deviance_explained"].mean()
    made = splits.split(sp.csr_matrix(adata.X), 0.9, 0)
    null = splits.deviance(made.test, splits.null(made.train), made.odds).sum()
    knowing = 1 - poisson_deviance(made.test.toarray(), adata.layers["mean"] * 0.1).sum() / null
    assert best.max() == pytest.approx(knowing, abs=0.05)
    assert best[choice.model] > best.max() - 0.02
    choice = scae.tl.choose(scae.tl.cross_validate(noise(rng), specs, n_splits=2, plan=SHORT))
    assert choice.model is None
    assert "do not denoise this" in choice.reason


def test_the_same_seed_gives_the_same_table_and_nothing_is_written(pbmc):
    before = pbmc.copy()
    first = scae.tl.cross_validate(pbmc, ["denoiser"], n_splits=1, n_seeds=2, plan=QUICK, batch_key="batch", device="cpu")
    again = scae.tl.cross_validate(pbmc, ["denoiser"], n_splits=1, n_seeds=2, plan=QUICK, batch_key="batch", device="cpu")
    pd.testing.assert_frame_equal(first.drop(columns="seconds"), again.drop(columns="seconds"))
    assert first["seed"].dropna().tolist() == [0, 1]
    assert (list(pbmc.uns), list(pbmc.obsm), list(pbmc.layers)) == (list(before.uns), list(before.obsm), list(before.layers))
    assert (pbmc.X != before.X).nnz == 0
    other = scae.tl.cross_validate(pbmc, ["denoiser"], n_splits=1, plan=QUICK, random_state=1)
    assert set(other["deviance_explained"]) & set(first["deviance_explained"]) == {0.0}


def test_covariates_layers_and_masks_are_those_of_a_fit(pbmc):
    few = np.arange(pbmc.n_vars) < 50
    pbmc.obs["depth"] = np.asarray(pbmc.X.sum(1)).ravel()
    options = {"layer": "counts", "continuous_covariates": "age", "size_factor": "depth", "plan": QUICK}
    table = scae.tl.cross_validate(pbmc, "vae", n_splits=1, mask_var=few, **options)
    assert table.set_index("model")["n_parameters"]["gene mean"] == 50
    pbmc.var["highly_variable"] = ~few  # another choice than the one that is asked for
    again = scae.tl.cross_validate(pbmc, "vae", n_splits=1, mask_var=few, **options)
    pd.testing.assert_frame_equal(table.drop(columns="seconds"), again.drop(columns="seconds"))
    assert table["deviance_explained"].notna().all()


def test_networks_along_the_genome_find_the_places_of_features(pbmc):
    pbmc.var["chromosome"], pbmc.var["start"] = "chr1", np.arange(pbmc.n_vars)
    table = scae.tl.cross_validate(pbmc, scae.tl.grid("denoiser", network=["conv1d"]), n_splits=1, plan=QUICK)
    assert table["deviance_explained"].notna().all()


def test_the_record_survives_a_file(pbmc, tmp_path):
    table = scae.tl.cross_validate(pbmc, ["denoiser"], n_splits=1, plan=QUICK, key_added="choice")
    pbmc.write_h5ad(tmp_path / "a.h5ad")
    back = anndata.read_h5ad(tmp_path / "a.h5ad").uns["choice"]
    assert json.loads(back["choice"])["reason"] == scae.tl.choose(table).reason
    assert back["table"]["model"].tolist() == table["model"].tolist()
    assert np.array_equal(back["table"]["deviance_explained"], table["deviance_explained"])


def made_table(rows, *, runs=2):
    """A table from ``name: (score, weights)``; the paired errors are 0.01, PCA explains 0.1."""
    best = max((score for score, _ in rows.values() if score == score), default=0.0)
    out = []
    for split in range(runs):
        for name, (score, n) in {"PCA": (0.1, 5), **rows}.items():
            kind = "baseline" if name == "PCA" else "model"
            gaps = {"below_best": best - score, "below_best_se": 0.01, "above_baseline": score - 0.1, "above_baseline_se": 0.01}
            row = {"model": name, "kind": kind, "split": split, "deviance_explained": score, "se": 0.02, **gaps}
            out.append(row | {"n_parameters": n, "n_latent": n // 10, "seconds": 1.0 / n})
    return pd.DataFrame(out)


@pytest.mark.parametrize(
    ("rows", "model"),
    [
        ({"big": (0.3, 100), "small": (0.295, 10)}, "small"),  # within one error of the best
        ({"big": (0.3, 100), "small": (0.28, 10)}, "big"),
        ({"big": (0.3, 10), "small": (0.3, 10), "best": (0.301, 10)}, "best"),  # equally simple: the higher score
        ({"big": (0.105, 100)}, None),  # no better than PCA
        ({"big": (0.112, 100), "small": (0.106, 10)}, "big"),  # the small one does not beat PCA
        ({"big": (0.3, 100), "lost": (float("nan"), 1)}, "big"),
        ({"lost": (float("nan"), 1)}, None),
    ],
)
def test_the_rule(rows, model):
    table = made_table(rows)
    choice = scae.tl.choose(table)
    assert choice.model == model
    assert choice.baseline == "PCA"
    assert scae.tl.choose(pd.read_csv(io.StringIO(table.to_csv(index=False)))) == choice


def test_the_order_says_what_is_simple():
    table = made_table({"big": (0.3, 100), "small": (0.295, 10)})
    assert scae.tl.choose(table, order="seconds").model == "big"
    assert scae.tl.choose(table, order="n_latent").model == "small"
    with pytest.raises(MissingKeyError, match="n_parameters"):
        scae.tl.choose(table, order="weights")


def test_spread_over_runs_counts_where_it_is_larger():
    table = made_table({"big": (0.3, 100), "small": (0.28, 10)})
    small = table["model"] == "small"
    table.loc[small, "below_best"] = [-0.03, 0.07]
    found = summarize(table)
    assert found.loc["small", "below_best_se"] == pytest.approx(0.05)
    assert scae.tl.choose(table).model == "small"


@pytest.mark.parametrize("drop", [{"columns": "below_best"}, {"index": [1, 4]}, {"index": [0, 3]}])
def test_half_a_table_is_refused(drop):
    with pytest.raises(ConfigError, match="whole table"):
        scae.tl.choose(made_table({"big": (0.3, 100), "small": (0.28, 10)}).drop(**drop))


def test_training_that_diverges_is_a_row_without_a_score(pbmc):
    table = scae.tl.cross_validate(pbmc, scae.tl.grid("dca-normal", lr=[1e30]), n_splits=1, plan=None)
    assert table["deviance_explained"].isna().tolist() == [False, False, False, True]
    assert "diverged" in scae.tl.choose(table).reason


def test_a_grid_is_a_product():
    made = scae.tl.grid("denoiser", bottleneck_dim=[8, 32], likelihood=["nb", "poisson"], network_hidden=[[64, 32]])
    assert list(made)[1] == "denoiser bottleneck_dim=8 likelihood=poisson"
    assert len(made) == 4
    spec = made["denoiser bottleneck_dim=32 likelihood=poisson"].spec
    assert (spec.bottleneck.dim, spec.likelihood.name, spec.network.hidden) == (32, "poisson", (64, 32))
    assert spec.corruption == scae.presets.find("denoiser").spec.corruption
    assert scae.tl.grid(spec, epochs=[2])["model"].plan.epochs == 2


@pytest.mark.parametrize(
    ("specs", "options", "fault", "said"),
    [
        ([], {}, ConfigError, "at least one"),
        ({"PCA": "denoiser"}, {}, ConfigError, "other than those of the baselines"),
        ([scae.ModelSpec()], {}, ConfigError, "without a name"),
        (["denoizer"], {}, MissingKeyError, "did you mean 'denoiser'"),
        (["denoiser"], {"train_share": 1.0}, ConfigError, "between 0 and 1"),
        (["denoiser"], {"n_splits": 0}, ConfigError, "n_splits is 0"),
        (["denoiser"], {"layer": "count"}, MissingKeyError, "did you mean 'counts'"),
        (["denoiser"], {"epochs": 3}, TypeError, "unexpected keyword"),
    ],
)
def test_what_is_not_allowed(specs, options, fault, said, pbmc):
    with pytest.raises(fault, match=said):
        scae.tl.cross_validate(pbmc, specs, **options)


def test_options_of_a_preset_by_name():
    base = scae.presets.find("denoiser")
    assert config.changed(base, {}) == base
    with pytest.raises(MissingKeyError, match="did you mean 'bottleneck_dim'"):
        config.changed(base, {"botleneck_dim": 3})
    with pytest.raises(MissingKeyError, match="beta"):
        scae.tl.grid("dca", bottleneck_beta=[1.0])
    with pytest.raises(ConfigError, match=r"no model was chosen\. Noise"):
        config.read_config({"name": None, "reason": "Noise."})
    deeper = config.changed(base, {"prior_n_components": 4, "bottleneck_prior": "mixture"})
    assert deeper.spec.bottleneck.prior.n_components == 4
