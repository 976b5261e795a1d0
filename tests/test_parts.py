"""The catalogue: frozen values, checked fields, plain dicts and back."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from helpers import run_python, variants
from hypothesis import given
from hypothesis import strategies as st

from scae import parts, presets
from scae.bottlenecks import Deterministic, Gaussian
from scae.corruptions import Masking, Thinning
from scae.errors import ConfigError, MissingKeyError
from scae.fields import fields
from scae.keys import DataKeys, DataSpec
from scae.likelihoods import NB
from scae.model import ModelSpec
from scae.networks import MLP
from scae.parts import build, to_dict
from scae.plan import TrainPlan
from scae.priors import StandardNormal

RECORDS = (TrainPlan, ModelSpec, DataKeys)
EVERY = [v for kind in ("corruption", "transform", "network", "bottleneck", "prior", "likelihood") for v in variants(kind)]


@pytest.mark.parametrize("value", EVERY, ids=repr)
def test_parts_are_values(value):
    twin = dataclasses.replace(value)
    assert twin == value
    assert hash(twin) == hash(value)
    assert build(value.kind, json.loads(json.dumps(to_dict(value)))) == value
    assert parts.find(value.kind, value.name) is type(value)
    assert parts.summary(type(value)).endswith((".", ")"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.anything = 1


@pytest.mark.parametrize("cls", {type(v): None for v in EVERY} | dict.fromkeys(RECORDS), ids=lambda c: c.__name__)
def test_every_option_says_what_it_is(cls):
    assert all(f.doc for f in fields(cls).values())


NAMES = st.text(min_size=1, max_size=5)


@given(
    st.lists(NAMES, unique=True, max_size=5),
    st.lists(st.tuples(NAMES, st.lists(NAMES, unique=True, max_size=3).map(tuple)), unique_by=lambda pair: pair[0], max_size=3),
    st.lists(st.tuples(NAMES, st.floats(-9, 9), st.floats(0.1, 9)), max_size=3),
)
def test_what_a_model_was_fitted_to_survives_json(genes, categorical, continuous):
    keys = DataKeys(
        categorical_covariates=tuple(name for name, _ in categorical),
        continuous_covariates=tuple(name for name, *_ in continuous),
    )
    levels, moments = tuple(levels for _, levels in categorical), tuple((mean, sd) for _, mean, sd in continuous)
    data = DataSpec(tuple(genes), keys, levels, moments)
    back = build(DataSpec, json.loads(json.dumps(to_dict(data))))
    assert back == data
    assert hash(back) == hash(data)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Deterministic(dim=0), ["bottleneck 'deterministic'", "dim is 0", "at least 1"]),
        (lambda: Deterministic(dim="8"), ["dim is '8'", "a whole number"]),
        (lambda: Deterministic(dim=8.5), ["dim is 8.5", "a whole number"]),
        (lambda: Deterministic(dim=True), ["dim is True", "a whole number"]),
        (lambda: Gaussian(beta=-1), ["beta is -1.0", "at least 0.0"]),
        (lambda: Gaussian(beta=float("nan")), ["beta is nan", "finite"]),
        (lambda: Gaussian(beta=float("inf")), ["beta is inf", "finite"]),
        (lambda: Gaussian(prior=3), ["prior is 3", "one of", "standard_normal"]),
        (lambda: Masking(share=1.1), ["share is 1.1", "at least 0.0 and at most 1.0"]),
        (lambda: Thinning(low=0.8, high=0.2), ["low is 0.8", "high 0.2", "low ≤ high"]),
        (lambda: NB(link="log"), ["link is 'log'", "'softmax', 'exp', 'softplus'"]),
        (lambda: MLP(hidden=(64, 0)), ["hidden is 0", "at least 1"]),
        (lambda: MLP(hidden=64), ["hidden is 64", "a list of whole numbers"]),
        (lambda: MLP(hidden=("64",)), ["hidden is ('64',)", "a list of whole numbers"]),
        (lambda: MLP(hidden=(1.5,)), ["hidden is (1.5,)", "a list of whole numbers"]),
        (lambda: MLP(activation="sin"), ["activation is 'sin'", "'relu'"]),
        (lambda: MLP(encode_covariates=1), ["encode_covariates is 1", "True or False"]),
        (lambda: ModelSpec(likelihood=MLP()), ["ModelSpec", "likelihood is MLP", "one of", "nb"]),
        (lambda: TrainPlan(lr=-1.0), ["TrainPlan", "lr is -1.0", "at least 0.0"]),
        (lambda: build("likelihood", {"link": "exp"}), ["no 'name'", "zinb"]),
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
        (lambda: build("likelihood", "future"), ["unknown likelihood 'future'", "Known: "]),
        (lambda: build(ModelSpec, {"netwrok": "mlp"}), ["ModelSpec: unknown field 'netwrok'", "did you mean 'network'"]),
        (
            lambda: build("network", {"name": "mlp", "hiden": [8]}),
            ["network 'mlp': unknown field 'hiden'", "did you mean 'hidden'"],
        ),
    ],
)
def test_unknown_names_list_the_known_ones(make, said):
    with pytest.raises(MissingKeyError) as fault:
        make()
    for words in said:
        assert words in str(fault.value)


def test_plain_forms_fill_in():
    """Bare names, missing fields, lists for tuples, and whole numbers for floats and back."""
    plain = {"network": {"name": "mlp", "hidden": [64, 32]}, "likelihood": "zinb", "bottleneck": {"name": "gaussian", "beta": 1}}
    spec = build(ModelSpec, plain)
    assert spec.network == MLP(hidden=(64, 32))
    assert spec.likelihood == parts.find("likelihood", "zinb")()
    assert isinstance(spec.bottleneck.beta, float)
    assert spec.corruption == ModelSpec().corruption
    assert Deterministic(dim=8.0).dim == 8
    assert isinstance(Deterministic(dim=8.0).dim, int)
    assert ModelSpec(bottleneck={"name": "gaussian", "prior": "standard_normal"}).bottleneck.prior == StandardNormal()


def test_a_base_gives_what_is_left_out():
    base = Gaussian(dim=7, beta=0.5)
    assert build("bottleneck", {"dim": 3}, base=base) == Gaussian(dim=3, beta=0.5)
    assert build("bottleneck", {"name": "gaussian", "dim": 3}, base=base) == Gaussian(dim=3, beta=0.5)
    assert build("bottleneck", {"name": "deterministic"}, base=base) == Deterministic()
    assert build("bottleneck", base) is base


def test_every_part_and_preset_names_its_paper():
    year = re.compile(r"\b(19|20)\d\d\b")
    plain = {"none"}  # there is nothing to cite
    lines = {n: parts.summary(parts.find(kind, n)) for kind in parts.kinds() for n in parts.names(kind)}
    assert [n for n, line in lines.items() if n not in plain and not year.search(line)] == []
    assert [n for n in presets.names() if not year.search(presets.find(n).paper)] == []


@pytest.mark.parametrize("statement", ["parts.names('likelihood')", "scae.priors.Vamp", "parts.kinds()"])
def test_the_catalogue_does_not_depend_on_what_was_imported(statement):
    assert run_python(f"import scae; from scae import parts; assert {statement}; print(*parts.names('prior'))") == " ".join(
        parts.names("prior")
    )


@pytest.mark.parametrize(
    ("cls", "name", "word", "value"),
    [
        (MLP, "hidden", "128,64", (128, 64)),
        (MLP, "hidden", "128x64", (128, 64)),
        (MLP, "residual", "True", True),
        (MLP, "decoder_hidden", "none", None),
        (TrainPlan, "lr", "1e-3", 1e-3),
        (TrainPlan, "max_epochs", "none", None),
        (DataKeys, "layer", "axis", "axis"),
    ],
)
def test_words_of_the_command_line(cls, name, word, value):
    assert fields(cls)[name].parse(word) == value


@pytest.mark.parametrize(("cls", "name", "word"), [(MLP, "hidden", "a"), (MLP, "residual", "yes"), (TrainPlan, "epochs", "2.5")])
def test_words_that_are_no_value_are_refused(cls, name, word):
    with pytest.raises(ConfigError, match=f"{word!r} is not"):
        fields(cls)[name].parse(word)
