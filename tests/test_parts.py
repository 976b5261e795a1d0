"""The catalogue: frozen values, checked fields, plain dicts and back."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from helpers import variants
from hypothesis import given
from hypothesis import strategies as st

from scae import parts, presets
from scae.batch import DataSpec
from scae.bottlenecks import Deterministic, Gaussian
from scae.corruptions import Masking, Thinning
from scae.errors import ConfigError, MissingKeyError
from scae.likelihoods import NB
from scae.model import ModelSpec
from scae.networks import MLP
from scae.parts import from_dict, to_dict
from scae.train import TrainPlan

EVERY = [v for kind in ("corruption", "transform", "network", "bottleneck", "prior", "likelihood") for v in variants(kind)]


@pytest.mark.parametrize("value", EVERY, ids=repr)
def test_parts_are_values(value):
    twin = dataclasses.replace(value)
    assert twin == value
    assert hash(twin) == hash(value)
    assert from_dict(value.kind, json.loads(json.dumps(to_dict(value)))) == value
    assert parts.find(value.kind, value.name) is type(value)
    assert parts.summary(type(value)).endswith((".", ")"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.anything = 1


@pytest.mark.parametrize("cls", {type(v): None for v in EVERY} | {TrainPlan: None, ModelSpec: None}, ids=lambda c: c.__name__)
def test_every_option_says_what_it_is(cls):
    assert all(f.metadata["doc"] for f in dataclasses.fields(cls))


NAMES = st.text(min_size=1, max_size=5)


@given(
    st.lists(NAMES, unique=True, max_size=5),
    st.lists(st.tuples(NAMES, st.lists(NAMES, max_size=3).map(tuple)), max_size=3),
    st.lists(st.tuples(NAMES, st.floats(-9, 9), st.floats(0.1, 9)), max_size=3),
)
def test_what_a_model_was_fitted_to_survives_json(genes, categorical, continuous):
    data = DataSpec(tuple(genes), categorical=tuple(categorical), continuous=tuple(continuous))
    back = from_dict(DataSpec, json.loads(json.dumps(to_dict(data))))
    assert back == data
    assert hash(back) == hash(data)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Deterministic(dim=0), ["bottleneck 'deterministic'", "dim is 0", "at least 1"]),
        (lambda: Deterministic(dim="8"), ["dim is '8'", "int"]),
        (lambda: Deterministic(dim=8.0), ["dim is 8.0", "int"]),
        (lambda: Deterministic(dim=True), ["dim is True", "int"]),
        (lambda: Gaussian(beta=-1), ["beta is -1.0", "at least 0.0"]),
        (lambda: Gaussian(beta=float("nan")), ["beta is nan", "at least 0.0"]),
        (lambda: Gaussian(prior="standard_normal"), ["prior is 'standard_normal'", "a prior (", "standard_normal"]),
        (lambda: Masking(share=1.1), ["share is 1.1", "at least 0.0 and at most 1.0"]),
        (lambda: Thinning(low=0.8, high=0.2), ["low is 0.8", "high 0.2", "low ≤ high"]),
        (lambda: NB(link="log"), ["link is 'log'", "'softmax', 'exp', 'softplus'"]),
        (lambda: MLP(hidden=(64, 0)), ["hidden is 0", "at least 1"]),
        (lambda: MLP(hidden=64), ["hidden is 64", "tuple"]),
        (lambda: MLP(hidden=("64",)), ["hidden holds '64'", "int"]),
        (lambda: MLP(hidden=(1.5,)), ["hidden holds 1.5", "int"]),
        (lambda: MLP(activation="sin"), ["activation is 'sin'", "'relu'"]),
        (lambda: MLP(encode_covariates=1), ["encode_covariates is 1", "bool"]),
        (lambda: ModelSpec(likelihood=MLP()), ["ModelSpec", "likelihood is MLP", "a likelihood (", "'nb'".strip("'")]),
        (lambda: TrainPlan(lr=-1.0), ["TrainPlan", "lr is -1.0", "at least 0.0"]),
        (lambda: from_dict("likelihood", {"link": "exp"}), ["no 'name'", "zinb"]),
    ],
)
def test_values_out_of_range_are_refused(make, said):
    with pytest.raises(ConfigError) as fault:
        make()
    for words in said:
        assert words in str(fault.value)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: parts.find("likelihod", "nb"), ["unknown kind of part 'likelihod'", "did you mean 'likelihood'"]),
        (lambda: parts.find("likelihood", "zimb"), ["unknown likelihood 'zimb'", "did you mean 'zinb'"]),
        (lambda: from_dict("likelihood", "future"), ["unknown likelihood 'future'", "Known: "]),
        (lambda: from_dict(ModelSpec, {"netwrok": "mlp"}), ["field of ModelSpec 'netwrok'", "did you mean 'network'"]),
        (
            lambda: from_dict("network", {"name": "mlp", "hiden": [8]}),
            ["field of network 'mlp' 'hiden'", "did you mean 'hidden'"],
        ),
    ],
)
def test_unknown_names_list_the_known_ones(make, said):
    with pytest.raises(MissingKeyError) as fault:
        make()
    for words in said:
        assert words in str(fault.value)


def test_plain_forms_fill_in():
    """Bare names, missing fields, lists for tuples and whole numbers for floats will do."""
    given_ = {"network": {"name": "mlp", "hidden": [64, 32]}, "likelihood": "zinb", "bottleneck": {"name": "gaussian", "beta": 1}}
    spec = from_dict(ModelSpec, given_)
    assert spec.network == MLP(hidden=(64, 32))
    assert spec.likelihood == parts.find("likelihood", "zinb")()
    assert isinstance(spec.bottleneck.beta, float)
    assert spec.corruption == ModelSpec().corruption


def test_every_part_and_preset_names_its_paper():
    year = re.compile(r"\b(19|20)\d\d\b")
    plain = {"none", "identity"}  # there is nothing to cite
    lines = {n: parts.summary(parts.find(kind, n)) for kind in parts.kinds() for n in parts.names(kind)}
    assert [n for n, line in lines.items() if n not in plain and not year.search(line)] == []
    assert [n for n in presets.names() if not year.search(presets.find(n).paper)] == []
