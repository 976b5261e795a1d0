"""Whether two results are the same, and what differs if not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import anndata
import pytest
from helpers import QUICK, real_counts

import scae
from scae import threads
from scae.environment import environment
from scae.errors import ConfigError, MissingKeyError


def embedded(**options: object) -> anndata.AnnData:
    adata = real_counts()
    scae.tl.embed(adata, **{"plan": QUICK, "device": "cpu", **options})
    return adata


@pytest.fixture(scope="module")
def first() -> anndata.AnnData:
    return embedded()


def entry(adata: anndata.AnnData, place: str = "obsm['X_scae']") -> dict:
    return json.loads(adata.uns["scae"]["written"][place])


def test_the_same_call_gives_the_same_result(first, tmp_path):
    first.copy().write_h5ad(tmp_path / "a.h5ad")
    assert scae.tl.differences(anndata.read_h5ad(tmp_path / "a.h5ad"), embedded()) == {}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"random_state": 1}, {"sha256", "model_sha256", "random_state"}),
        ({"plan": scae.TrainPlan(epochs=1, min_steps=12, max_steps=12, batch_size=32)}, {"sha256", "model_sha256"}),
        ({"model": "dca"}, {"sha256", "model_sha256"}),
    ],
)
def test_what_differs_is_named(first, options, named):
    found = scae.tl.differences(first, embedded(**options))
    assert named <= set(found)
    assert ("plan" in options) == ("plan.batch_size" in found)
    assert ("model" in options) == any(name.startswith("spec.") for name in found)
    assert all(a != b for a, b in found.values())


def test_other_cells_are_named(model):
    here, there = real_counts(), real_counts()[::-1].copy()
    for adata in (here, there):
        scae.tl.embed(adata, model)
    assert set(scae.tl.differences(here, there)) == {"sha256", "library_sha256"}


def test_another_environment_is_named(first, monkeypatch):
    there = environment("cpu") | {"torch": "0.0", "cpu": "another"}
    monkeypatch.setattr("scae.tl._writing.environment", lambda _: there)
    assert scae.tl.differences(first, embedded()) == {
        "environment.torch": (environment("cpu")["torch"], "0.0"),
        "environment.cpu": (environment("cpu")["cpu"], "another"),
    }


def test_the_threads_of_the_fit_and_of_the_verb_are_recorded_apart(model):
    adata = real_counts()
    with threads.use(2):
        scae.tl.embed(adata, model)
    assert entry(adata)["environment"]["torch_threads"] == 2
    assert entry(adata)["fitted_in"] == model.fitted["environment"]


@pytest.mark.parametrize("key", ["X_scae", "X_scae_sd"])
def test_the_hash_is_that_of_the_bytes(model, key):
    adata = real_counts()
    scae.tl.embed(adata, model, with_sd=True)
    assert entry(adata, f"obsm['{key}']")["sha256"] == hashlib.sha256(adata.obsm[key].astype("<f4").tobytes()).hexdigest()


def test_models_are_compared_also_after_a_file(model, tmp_path):
    model.save(tmp_path / "model.scae")
    assert scae.tl.differences(model, scae.load(tmp_path / "model.scae")) == {}
    other = scae.tl.fit(real_counts(), plan=QUICK, device="cpu", random_state=3)
    assert {"model_sha256", "random_state", "data.keys.batch_key"} <= set(scae.tl.differences(model, other))


def test_what_cannot_be_compared_is_refused(first, model):
    with pytest.raises(ConfigError, match="two AnnData, or two models"):
        scae.tl.differences(first, model)
    with pytest.raises(ConfigError, match="adata is a PosixPath; allowed: an AnnData"):
        scae.tl.differences(Path("a.h5ad"), first)
    with pytest.raises(MissingKeyError, match="unknown place 'X_scae': did you mean \"obsm\\['X_scae'\\]\"") as caught:
        scae.tl.differences(first, first, place="X_scae")
    assert "written to both" in str(caught.value)
    spoilt = first.copy()
    spoilt.uns["scae"]["written"]["obsm['X_scae']"] = "{"
    with pytest.raises(ConfigError, match="the record of obsm"):
        scae.tl.differences(first, spoilt)


@pytest.mark.parametrize("verb", [scae.tl.embed, scae.tl.denoise])
def test_a_record_of_a_newer_format_is_left_alone(verb, first, model, monkeypatch):
    adata = first.copy()
    adata.uns["scae"] |= {"format": 2, "version": "99.0"}
    monkeypatch.setattr("scae.tl._fit.verify", lambda *_, **__: pytest.fail("the work had begun"))
    with pytest.raises(ConfigError, match=r"newer scae \(99\.0\), in format 2; this one reads formats up to 1\. Upgrade scae"):
        verb(adata, model)
