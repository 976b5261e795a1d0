"""Arguments of the wrong type, and keywords that a verb does not have, are refused by name before any work."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import scae
from scae.errors import KindError, ScaeError

VERBS = {name: getattr(scae.tl, name) for name in ("fit", "embed", "denoise", "cluster")}
each_verb = pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)


@pytest.fixture(autouse=True)
def no_fit(monkeypatch):
    monkeypatch.setattr("scae.tl._fit.train", lambda *_, **__: pytest.fail("a fit was started"))


@each_verb
@pytest.mark.parametrize("form", ["sparse", "dense", "path"])
def test_a_matrix_or_a_path_is_no_anndata(verb, form, pbmc):
    given = {"sparse": pbmc.X, "dense": np.ones((3, 4)), "path": "counts.h5ad"}[form]
    said = "scanpy.read_h5ad" if form == "path" else r"anndata\.AnnData\(matrix\)"
    with pytest.raises(KindError, match=said) as fault:
        verb(given)
    assert isinstance(fault.value, ScaeError)
    assert isinstance(fault.value, TypeError)


@each_verb
@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"epochs": 3}, "epochs belongs to the training plan: plan=scae.TrainPlan(epochs=3)."),
        ({"plan": {"epochs": 3, "lr": 0.01}}, "plan is a dict; allowed: plan=scae.TrainPlan(epochs=3, lr=0.01), or None"),
        ({"plan": 3}, "plan is a int; allowed: plan=scae.TrainPlan(epochs=3), or None"),
        ({"likelihood": "zinb"}, "likelihood belongs to the model: give a scae.ModelSpec(likelihood=...)"),
        ({"batchkey": "batch"}, "unexpected keyword argument 'batchkey' (did you mean 'batch_key'?); the keywords of a fit are"),
        ({"model": 3}, "model is a int; allowed: the name of a preset"),
    ],
    ids=str,
)
def test_what_belongs_elsewhere_is_said_to(verb, keywords, said, pbmc):
    with pytest.raises(KindError) as fault:
        verb(pbmc, **keywords)
    assert said in str(fault.value)


@pytest.mark.parametrize("name", scae.presets.names())
def test_presets_are_found_in_any_case(name):
    assert scae.presets.find(name.upper()) == scae.presets.find(name)


def test_every_verb_that_takes_cells_refuses_a_matrix(pbmc):
    for name in scae.tl.__all__:
        verb = getattr(scae.tl, name)
        if not inspect.isfunction(verb) or next(iter(inspect.signature(verb).parameters)) != "adata":
            continue
        needed = [p for p in list(inspect.signature(verb).parameters.values())[1:] if p.default is p.empty]
        with pytest.raises(ScaeError):
            verb(pbmc.X, **{p.name: "x" for p in needed})
