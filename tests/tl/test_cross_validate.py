"""Molecular cross-validation of candidates beside the baselines."""

from __future__ import annotations

import json

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from helpers import QUICK
from protocol import poisson_deviance

import scae
from scae import evaluate
from scae.errors import ConfigError, MissingKeyError

SHORT = scae.TrainPlan(epochs=1, min_steps=150, max_steps=150, batch_size=64, held_out=0.0)


def structured(rng, cells=500, genes=60):
    kind = rng.integers(0, 3, cells)
    rates = rng.gamma(0.5, 1.0, (3, genes))[kind]
    depth = rng.lognormal(4.5, 0.3, (cells, 1))
    mean = depth * rates / rates.sum(1, keepdims=True)
    return AnnData(rng.poisson(mean).astype(np.float32), layers={"mean": mean})


def noise(rng, cells=500, genes=60):
    share, depth = rng.dirichlet(np.full(genes, 0.5)), rng.lognormal(4.5, 0.3, (cells, 1))
    return AnnData(rng.poisson(depth * share).astype(np.float32))


def test_a_models_score_is_the_protocols(pbmc):
    table = scae.tl.cross_validate(pbmc, {"mine": "denoiser"}, n_splits=2, plan=QUICK, random_state=5)
    row = table[(table["model"] == "mine") & (table["split"] == 1)].iloc[0]
    outer = int(np.random.SeedSequence([5, 1]).generate_state(2)[0])
    made = evaluate.split(sp.csr_matrix(pbmc.X), 0.9, outer)
    train, x = AnnData(made.train, var=pbmc.var[[]]), made.test.toarray()
    model = scae.tl.denoise(train, "denoiser", plan=QUICK, random_state=5)
    dense = made.train.toarray()
    null = dense.sum(1, keepdims=True) * (dense.sum(0) / dense.sum()) / 9
    expected = 1 - poisson_deviance(x, train.layers["denoised"] / 9).sum() / poisson_deviance(x, null).sum()
    assert row["deviance_explained"] == pytest.approx(expected, abs=1e-5)
    assert (row["n_parameters"], row["n_latent"]) == (sum(p.numel() for p in model.parameters()), 32)


def test_structure_is_denoised_and_noise_is_not(rng):
    specs = scae.tl.grid("denoiser", bottleneck_dim=[2, 16])
    adata = structured(rng)
    table = scae.tl.cross_validate(adata, specs, n_splits=2, plan=SHORT)
    choice = scae.tl.choose(table)
    assert choice.model in specs
    best = table[table["kind"] == "model"].groupby("model")["deviance_explained"].mean()
    made = evaluate.split(sp.csr_matrix(adata.X), 0.9, 0)
    null = evaluate.deviance(made.test, evaluate.null(made.train), made.odds).sum()
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
    pbmc.obs["depth"] = pbmc.X.sum(1).A1 * np.exp(np.random.default_rng(1).normal(0, 0.2, pbmc.n_obs))
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
        (["denoiser"], {"epochs": 3}, TypeError, "belongs to the training plan"),
    ],
)
def test_what_is_not_allowed(specs, options, fault, said, pbmc):
    with pytest.raises(fault, match=said):
        scae.tl.cross_validate(pbmc, specs, **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"specs": 3}, "specs is a int"),
        ({"specs": None}, "specs is a NoneType"),
        ({"specs": [3]}, "specs holds 3 without a name"),
        ({"specs": {"three": 3}}, "model is a int"),
        ({"n_splits": "3"}, "n_splits is '3'"),
        ({"n_splits": 1.5}, "n_splits is 1.5"),
        ({"n_seeds": None}, "n_seeds None"),
        ({"train_share": "most"}, "train_share 'most'"),
        ({"train_share": 1}, "train_share 1"),
        ({"checkpoint": "steps"}, "checkpoint is for one fit"),
    ],
)
def test_values_that_are_not_allowed_are_refused_before_a_fit(options, said, pbmc, monkeypatch):
    monkeypatch.setattr("scae.tl._fit.train", lambda *_, **__: pytest.fail("a fit was started"))
    with pytest.raises(ConfigError) as fault:
        scae.tl.cross_validate(pbmc, **{"specs": "vae"} | options)
    assert said in str(fault.value)


def test_the_posterior_is_scored_by_the_same_protocol(pbmc):
    """The score of the table is that of the verb's layer, for the fit to the same training molecules."""
    table = scae.tl.cross_validate(pbmc, ["denoiser"], kind="posterior", n_splits=1, plan=QUICK)
    outer = int(np.random.SeedSequence([0, 0]).generate_state(2)[0])
    fold = evaluate.split(sp.csr_matrix(pbmc.X), 0.9, outer)
    seen = pbmc[fold.cells].copy()
    seen.X = fold.train
    scae.tl.denoise(seen, kind="posterior", plan=QUICK)
    left = evaluate.deviance(fold.test, evaluate.matrix_blocks(seen.layers["denoised"]), fold.odds)
    want = evaluate.explained(left, evaluate.deviance(fold.test, evaluate.null(fold.train), fold.odds))[0]
    assert table.set_index("model").loc["denoiser", "deviance_explained"] == pytest.approx(want, rel=1e-5)


def test_only_expected_counts_are_scored(pbmc):
    with pytest.raises(ConfigError, match="kind 'sample'"):
        scae.tl.cross_validate(pbmc, ["denoiser"], kind="sample", plan=QUICK)
