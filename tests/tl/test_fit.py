"""A fit writes nothing, takes the model however it is named, and takes only the keywords that it lists."""

from __future__ import annotations

import inspect

import numpy as np
import pandas as pd
import pytest
from helpers import QUICK

import scae
from scae.errors import ConfigError, DivergenceError, MissingKeyError
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
