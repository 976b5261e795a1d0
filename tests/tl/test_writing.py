"""What the verbs write: what they list and nothing else, never over anything of the user's unasked, with a record of each."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from helpers import QUICK, real_counts

import scae
from scae.bottlenecks import VQ
from scae.errors import ConfigError
from scae.likelihoods import NB
from scae.model import ModelSpec
from scae.parts import build

SLOTS = ("obs", "var", "obsm", "varm", "layers", "uns")
BOOKS = ModelSpec(bottleneck=VQ(dim=4, n_codes=5, quantization="product", n_books=2))


@pytest.fixture(scope="module")
def models() -> dict[str, scae.Autoencoder]:
    """One model for each place that dispersions and loadings go to."""
    fit = partial(scae.tl.fit, few_counts(), plan=QUICK)
    specs = {
        "var": (ModelSpec(), {}),
        "varm": (ModelSpec(likelihood=NB(dispersion="gene-batch")), {"batch_key": "batch"}),
        "obsm": (ModelSpec(likelihood=NB(dispersion="gene-cell")), {}),
        "linear": ("ldvae", {}),
    }
    return {name: fit(spec, **keys) for name, (spec, keys) in specs.items()}


def few_counts() -> AnnData:
    """Sixty cells, half of them labelled, and the forty genes with the most counts."""
    adata = real_counts()[:60]
    adata = adata[:, np.sort(np.argsort(-np.asarray(adata.X.sum(0)).ravel())[:40])].copy()
    adata.obs["known"] = adata.obs["bulk_labels"].where(np.arange(60) % 2 == 0)
    return adata


@pytest.fixture
def few() -> AnnData:
    return few_counts()


# what writes: slot and name that it writes to for key_added="mine", and how to call it with the models above
WRITERS = {
    "embed": ("obsm", "mine", lambda a, _, **o: scae.tl.embed(a, plan=QUICK, **o)),
    "embed, sd": ("obsm", "mine_sd", lambda a, _, **o: scae.tl.embed(a, plan=QUICK, with_sd=True, **o)),
    "embed, code": ("obs", "mine_code", lambda a, _, **o: scae.tl.embed(a, "vqvae", plan=QUICK, **o)),
    "embed, codes": ("obsm", "mine_codes", lambda a, _, **o: scae.tl.embed(a, BOOKS, plan=QUICK, **o)),
    "denoise": ("layers", "mine", lambda a, _, **o: scae.tl.denoise(a, plan=QUICK, **o)),
    "denoise, genes": ("obsm", "mine", lambda a, _, **o: scae.tl.denoise(a, plan=QUICK, genes=a.var_names[:2], **o)),
    "score": ("obs", "mine", lambda a, m, **o: scae.tl.score(a, m["var"], **o)),
    "dispersion": ("var", "mine", lambda a, m, **o: scae.tl.dispersion(a, m["var"], **o)),
    "dispersion per batch": ("varm", "mine", lambda a, m, **o: scae.tl.dispersion(a, m["varm"], **o)),
    "dispersion per cell": ("obsm", "mine", lambda a, m, **o: scae.tl.dispersion(a, m["obsm"], **o)),
    "cluster": ("obs", "mine", lambda a, m, **o: scae.tl.cluster(a, m["var"], **o)),
    "cluster, confidence": ("obs", "mine_confidence", lambda a, m, **o: scae.tl.cluster(a, m["var"], n_clusters=2, **o)),
    "classify": ("obs", "mine", lambda a, m, **o: scae.tl.classify(a, m["var"], "known", **o)),
    "classify, confidence": ("obs", "mine_confidence", lambda a, m, **o: scae.tl.classify(a, m["var"], "known", **o)),
    "classify, probabilities": (
        "obsm",
        "mine_probabilities",
        lambda a, m, **o: scae.tl.classify(a, m["var"], "known", with_probabilities=True, **o),
    ),
    "pseudotime": ("obs", "mine", lambda a, m, **o: scae.tl.pseudotime(a, m["var"], 0, **o)),
    "loadings": ("varm", "mine", lambda a, m, **o: scae.tl.loadings(a, m["linear"], **o)),
    "cross_validate": ("uns", "mine", lambda a, _, **o: scae.tl.cross_validate(a, "vae", n_splits=1, plan=QUICK, **o)),
}
each_writer = pytest.mark.parametrize("writer", WRITERS)


def stored(adata: AnnData) -> dict[tuple[str, str], object]:
    """Everything in an AnnData by slot and key, in a form that can be compared."""

    def plain(value: object) -> object:
        if sp.issparse(value):
            return value.toarray().tobytes()
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        array = np.asarray(value)
        return array.tolist() if array.dtype == object else (array.dtype, array.tobytes())

    return {(slot, key): plain(value) for slot in SLOTS for key, value in dict(getattr(adata, slot)).items()} | {
        ("X", ""): plain(adata.X)
    }


def users_own(adata: AnnData, slot: str, key: str) -> None:
    """Put something of the user's into a place."""
    rows = adata.n_vars if slot.startswith("var") else adata.n_obs
    values = {"layers": np.ones(adata.shape), "uns": {"of": "the user"}, "obs": np.ones(rows), "var": np.ones(rows)}
    getattr(adata, slot)[key] = values.get(slot, np.ones((rows, 2)))


def forbid_work(patched: pytest.MonkeyPatch) -> None:
    """Fail if counts are so much as looked at, let alone fitted."""
    for place in ("_fit.train", "_fit.verify", "_cross_validate.verify"):
        patched.setattr(f"scae.tl.{place}", lambda *_, **__: pytest.fail("the work had begun"))


@pytest.fixture
def no_work(monkeypatch) -> None:
    forbid_work(monkeypatch)


@each_writer
def test_what_changes_is_what_is_listed(writer, few, models):
    slot, name, write = WRITERS[writer]
    before = stored(few)
    write(few, models, key_added="mine")
    after = stored(few)
    changed = {f"{s}[{k!r}]" for s, k in before.keys() | after.keys() if before.get((s, k)) != after.get((s, k))}
    assert changed - {"uns['scae']"} == set(few.uns["scae"]["written"])
    assert f"{slot}[{name!r}]" in changed


@each_writer
def test_nothing_is_written_over_what_scae_has_no_record_of_unless_allowed(writer, few, models):
    slot, name, write = WRITERS[writer]
    users_own(few, slot, name)
    before = stored(few)
    with pytest.MonkeyPatch.context() as patched:
        forbid_work(patched)
        with pytest.raises(ConfigError, match=rf"{slot}\['{name}'\] is there already.* does not list it.*overwrite=True"):
            write(few, models, key_added="mine")
    assert stored(few) == before
    write(few, models, key_added="mine", overwrite=True)
    assert stored(few)[slot, name] != before[slot, name]
    write(few, models, key_added="mine")  # by now it is scae's own


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("key", ["cond/X", "/", "", ".", "..", 3, ("a",), b"mine"])
@each_writer
def test_keys_that_a_file_cannot_hold_are_refused_before_the_work(writer, key, few, models):
    before = stored(few)
    with pytest.raises(ConfigError, match=r"the key .* cannot be used for .* Name another key_added\."):
        WRITERS[writer][2](few, models, key_added=key)
    assert stored(few) == before


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(("writer", "key"), [("score", "_index"), ("dispersion", "_index"), ("cross_validate", "scae")])
def test_names_that_have_another_use_are_refused(writer, key, few, models):
    with pytest.raises(ConfigError, match=f"the key '{key}' cannot be used"):
        WRITERS[writer][2](few, models, key_added=key, overwrite=True)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("own", ["a note", 3, {"written": "by me"}])
@each_writer
def test_a_users_own_uns_scae_is_refused_before_the_work(writer, own, few, models):
    few.uns["scae"] = own
    before = stored(few)
    with pytest.raises(ConfigError, match=r"uns\['scae'\] is a .* that scae did not write"):
        WRITERS[writer][2](few, models, key_added="mine", overwrite=True)
    assert stored(few) == before


@pytest.mark.usefixtures("no_work")
@each_writer
def test_a_view_of_a_backed_file_is_refused_before_the_work(writer, few, models, tmp_path):
    few.write_h5ad(tmp_path / "a.h5ad")
    backed = anndata.read_h5ad(tmp_path / "a.h5ad", backed="r")
    with pytest.raises(ConfigError, match=r"view of a backed AnnData.*to_memory\(\)"):
        WRITERS[writer][2](backed[:30], models, key_added="mine")


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("thing", ["counts.h5ad", Path("counts.h5ad"), np.ones((3, 2)), None])
@pytest.mark.parametrize("writer", [name for name in WRITERS if name != "denoise, genes"])
def test_anything_but_an_anndata_is_refused(writer, thing, models):
    with pytest.raises(ConfigError, match=r"adata is a .*; allowed: an AnnData"):
        WRITERS[writer][2](thing, models, key_added="mine")


@pytest.mark.parametrize("way_out", ["delete", "another name", "overwrite"])
def test_results_of_two_samples_after_concat(way_out, few, models):
    """``concat`` drops ``uns`` and the record with it: the error says what is true, and each way out that it names is one."""
    samples = [few[:30].copy(), few[30:].copy()]
    for sample in samples:
        scae.tl.denoise(sample, models["var"])
    whole = anndata.concat(samples)
    with pytest.raises(ConfigError, match=r"does not list it as a result of scae.*del adata\.layers\['denoised'\]"):
        scae.tl.denoise(whole, models["var"])
    if way_out == "delete":
        del whole.layers["denoised"]
    options = {"another name": {"key_added": "again"}, "overwrite": {"overwrite": True}}.get(way_out, {})
    scae.tl.denoise(whole, models["var"], **options)
    scae.tl.denoise(few, models["var"])
    np.testing.assert_array_equal(whole.layers[options.get("key_added", "denoised")], few.layers["denoised"])


def test_each_result_is_recorded_with_the_model_that_made_it(few):
    fit = partial(scae.tl.fit, few, plan=QUICK)
    made = {"obsm['X_scae']": fit(random_state=3), "layers['denoised']": fit("denoiser", random_state=4), "obs['s']": fit("dca")}
    verbs = (scae.tl.embed, scae.tl.denoise, partial(scae.tl.score, key_added="s"))
    alone = {}
    for (place, model), verb in zip(made.items(), verbs, strict=True):
        verb(few, model)
        fresh = few_counts()
        verb(fresh, model)
        alone[place] = fresh.uns["scae"]["model_sha256"]
    entries = {place: json.loads(entry) for place, entry in few.uns["scae"]["written"].items()}
    assert len({*alone.values()}) == 3
    assert {place: entry["model_sha256"] for place, entry in entries.items()} == alone
    assert [build(ModelSpec, entry["spec"]) for entry in entries.values()] == [model.spec for model in made.values()]
    assert [entry["random_state"] for entry in entries.values()] == [3, 4, 0]


@pytest.mark.parametrize("number", [np.int64, np.int8, np.uint16])
def test_numbers_of_numpy_are_recorded(number, few, models):
    scae.tl.score(few, models["var"], n_samples=number(2))
    scae.tl.cluster(few, models["var"], n_clusters=number(3), resolution=np.float32(0.5), n_neighbors=number(5))
    scae.tl.classify(few, models["var"], np.str_("known"), n_neighbors=number(5))
    scae.tl.pseudotime(few, models["var"], number(2), n_neighbors=number(40))
    scae.tl.denoise(few, models["varm"], n_samples=number(2), library_size=np.float32(500), kind="rate", at_batch=np.str_("east"))
    entries = {place: json.loads(entry) for place, entry in few.uns["scae"]["written"].items()}
    assert entries["obs['scae_score']"]["n_samples"] == 2
    how = {"n_samples": 2, "library_size": 500.0, "kind": "rate", "at_batch": "east", "verb": "denoise"}
    assert how.items() <= entries["layers['denoised']"].items()


@pytest.mark.parametrize("verb", [scae.tl.score, scae.tl.dispersion, scae.tl.loadings])
@pytest.mark.parametrize("thing", ["vae", ModelSpec(), None])
@pytest.mark.usefixtures("no_work")
def test_verbs_of_a_fitted_model_fit_none(verb, thing, few):
    with pytest.raises(ConfigError, match=r"model is a .*; allowed: a fitted Autoencoder"):
        verb(few, thing)


@pytest.mark.parametrize("ending", ["h5ad", "zarr"])
def test_the_record_survives_a_file(pbmc, model, tmp_path, ending):
    scae.tl.embed(pbmc, model)
    scae.tl.denoise(pbmc, model, n_samples=0)
    scae.tl.score(pbmc, model)
    scae.tl.dispersion(pbmc, model)
    getattr(pbmc, f"write_{ending}")(tmp_path / "a")
    back = getattr(anndata, f"read_{ending}")(tmp_path / "a")
    about = back.uns["scae"]
    assert build(ModelSpec, json.loads(about["spec"])) == model.spec
    assert build(scae.TrainPlan, json.loads(about["plan"])) == QUICK
    assert set(about["written"]) == {"obsm['X_scae']", "layers['denoised']", "obs['scae_score']", "var['dispersion']"}
    assert about["model_sha256"] == pbmc.uns["scae"]["model_sha256"]
    assert np.array_equal(about["history"]["held_out"], [row["held_out"] for row in model.fitted["history"]["rows"]])
    assert back.obsm["X_scae"].tobytes() == pbmc.obsm["X_scae"].tobytes()
    scae.tl.denoise(back, model, n_samples=0)  # the layer is known as its own
    pd.testing.assert_series_equal(back.obs["scae_score"], pbmc.obs["scae_score"], check_index_type=False)
