"""A fit writes nothing, takes the model however it is named, and takes only the keywords that it lists."""

from __future__ import annotations

import inspect
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import QUICK, same_weights

import scae
from scae.errors import ConfigError, DivergenceError, MissingKeyError, OutputError
from scae.keys import KEYWORDS
from scae.likelihoods import Bernoulli
from scae.tl._fit import TRAINING

from .calls import denoised, embedded


def test_fit_writes_nothing(pbmc):
    before = pbmc.copy()
    scae.tl.fit(pbmc, plan=QUICK)
    assert (list(pbmc.obsm), list(pbmc.layers), list(pbmc.uns)) == (list(before.obsm), list(before.layers), list(before.uns))
    pd.testing.assert_frame_equal(pbmc.obs, before.obs)


def test_unknown_presets_and_models_are_refused(pbmc):
    with pytest.raises(MissingKeyError, match="did you mean 'vae'"):
        scae.tl.fit(pbmc, "vea")
    with pytest.raises(ConfigError, match="model is a int"):
        scae.tl.fit(pbmc, 3)


@pytest.mark.parametrize("options", [{"batch_key": "batch"}, {"plan": QUICK, "random_state": 1}, {"mask_var": None}])
def test_a_fitted_model_remembers_its_keys(pbmc, model, options):
    with pytest.raises(ConfigError, match=f"fitted already.*{sorted(options)[0]}"):
        scae.tl.embed(pbmc, model, **options)


def test_a_fit_that_diverges_hands_over_the_last_good_weights(pbmc):
    plan = scae.TrainPlan(epochs=1, min_steps=30, lr=1e30, lr_warmup=0.0)
    with pytest.raises(DivergenceError, match="last good weights") as caught:
        scae.tl.fit(pbmc, plan=plan)
    assert np.isfinite(embedded(pbmc, caught.value.model)).all()


@pytest.mark.parametrize("preset", scae.presets.names())
def test_every_preset_fits_embeds_and_denoises(preset, pbmc):
    found = scae.presets.find(preset)
    pbmc.var["chromosome"], pbmc.var["start"] = "chr1", np.arange(pbmc.n_vars)  # for the networks that go along the genome
    made = scae.tl.embed(pbmc, preset, plan=QUICK)
    layer = denoised(pbmc, made, n_samples=1)
    assert np.isfinite(pbmc.obsm["X_scae"]).all()
    assert np.isfinite(layer).all()
    assert pbmc.obsm["X_scae"].shape[1] == found.spec.bottleneck.dim
    assert isinstance(found.spec.likelihood, Bernoulli) is bool(layer.max() <= 1)
    assert found.paper


VERBS = {
    "fit": scae.tl.fit,
    "embed": scae.tl.embed,
    "denoise": scae.tl.denoise,
    "cross_validate": lambda adata, **keywords: scae.tl.cross_validate(adata, ["vae"], **keywords),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("others", [{}, {"batch_key": "batch", "plan": QUICK}], ids=["alone", "beside others"])
def test_an_unknown_keyword_is_a_type_error_that_names_the_known_ones(pbmc, verb, others):
    with pytest.raises(TypeError) as fault:
        VERBS[verb](pbmc, bacth_key="batch", **others)
    assert all(name in str(fault.value) for name in ("'bacth_key'", *KEYWORDS, *TRAINING))


def test_a_fitted_model_takes_no_unknown_keyword_either(pbmc, model):
    for verb in (scae.tl.embed, scae.tl.denoise):
        with pytest.raises(TypeError, match="'bacth_key'"):
            verb(pbmc, model, bacth_key="batch")


def test_an_unknown_keyword_is_named_before_what_follows_from_it(pbmc):
    with pytest.raises(TypeError, match="'bacth_key'"):
        scae.tl.denoise(pbmc, bacth_key="batch", at_batch="east")


@pytest.mark.parametrize("verb", VERBS)
def test_the_signature_and_the_help_list_every_keyword(verb):
    verb = getattr(scae.tl, verb)
    parameters, keywords = inspect.signature(verb).parameters, KEYWORDS | TRAINING
    assert not [p for p in parameters.values() if p.kind is p.VAR_KEYWORD]
    assert {name: parameters[name].default for name in keywords} == {name: default for name, (default, *_) in keywords.items()}
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in keywords)
    text = " ".join(verb.__doc__.split())
    assert all(f"{name} : {kind} {doc[0].upper()}{doc[1:]}." in text for name, (_, kind, doc) in keywords.items())
    assert "%(" not in verb.__doc__


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"plan": {"epochs": 3}}, "plan is a dict; allowed: plan=scae.TrainPlan(epochs=3)"),
        ({"plan": "long"}, "plan is a str"),
        ({"random_state": -1}, "random_state is -1"),
        ({"random_state": 2**63}, "random_state is 9223372036854775808"),
        ({"random_state": 1.5}, "random_state is 1.5"),
        ({"random_state": True}, "random_state is True"),
        ({"random_state": None}, "random_state is None"),
        ({"random_state": "0"}, "random_state is '0'"),
        ({"checkpoint": 3}, "checkpoint is 3; allowed: the path of a folder"),
        ({"checkpoint": True}, "checkpoint is True"),
        ({"device": 3}, "device is 3"),
        ({"device": "tpu9"}, "device is 'tpu9'"),
        ({"layer": 3}, "layer is 3"),
        ({"batch_key": ["batch"]}, "batch_key is ['batch']"),
        ({"mask_var": 3}, "mask_var has dtype"),
        ({"categorical_covariates": 3}, "categorical_covariates is 3; allowed: names of columns of obs"),
        ({"continuous_covariates": None}, "continuous_covariates is None"),
    ],
)
@pytest.mark.parametrize("verb", VERBS)
def test_values_of_the_wrong_type_are_refused_before_a_fit(verb, options, said, pbmc, monkeypatch):
    monkeypatch.setattr("scae.tl._fit.train", lambda *_, **__: pytest.fail("a fit was started"))
    with pytest.raises(ConfigError) as fault:
        VERBS[verb](pbmc, **options)
    assert said in str(fault.value)


@pytest.mark.parametrize("seed", [np.int64(3), np.uint8(3), np.int32(3)])
def test_a_seed_may_be_a_number_of_numpy(seed, pbmc):
    model = scae.tl.fit(pbmc, plan=QUICK, random_state=seed)
    assert type(model.fitted["random_state"]) is int
    assert same_weights(model, scae.tl.fit(pbmc, plan=QUICK, random_state=3))


@pytest.mark.parametrize("inside", ["", "a", "a/b"])
@pytest.mark.parametrize("verb", ["fit", "embed", "denoise"])
def test_a_place_where_no_checkpoint_can_be_is_refused_before_a_fit(verb, inside, pbmc, tmp_path, monkeypatch):
    monkeypatch.setattr("scae.tl._fit.train", lambda *_, **__: pytest.fail("a fit was started"))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match=r"cannot write checkpoints to .*file is not a folder"):
        VERBS[verb](pbmc, checkpoint=tmp_path / "file" / inside)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("form", [str, Path])
def test_checkpoints_may_go_to_a_folder_that_is_not_there_yet(form, pbmc, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit = partial(scae.tl.fit, pbmc, plan=QUICK)
    assert same_weights(fit(checkpoint=form("a/b")), fit())
    assert list((tmp_path / "a" / "b").glob("*.checkpoint"))
