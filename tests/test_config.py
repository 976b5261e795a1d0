"""The model part of a configuration: one truth in the catalogue; reader, schema and command line say the same."""

from __future__ import annotations

import argparse
import dataclasses
import json
import traceback

import pytest
from helpers import ROOT, run_python
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scae import parts, presets
from scae.cli.options import add_model_options, preset_from
from scae.config import model_options, nested_kinds, read_config, read_file
from scae.errors import ConfigError, MissingKeyError, ModelFileError
from scae.fields import fields
from scae.model import ModelSpec
from scae.parts import build, to_dict
from scae.plan import TrainPlan
from scae.schema import json_schema

SCHEMA = json_schema()
KINDS = {name: field.kind for name, field in fields(ModelSpec).items()}
COMMITTED = ROOT / "workflows" / "scrnaseq" / "workflow" / "schemas" / "model.schema.json"


def command_line(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_model_options(parser, default="vae")
    return parser.parse_args(words)


# ---- what a configuration means


def test_what_is_left_out_is_as_the_preset_has_it():
    base = presets.find("vae")
    assert read_config({}) == base
    assert read_config({"spec": None, "plan": {}}) == base
    assert read_config({}, default="dca") == presets.find("dca")
    made = read_config({"spec": {"bottleneck": {"dim": 7}, "likelihood": "poisson"}, "plan": {"epochs": 3, "lr": 1}})
    assert made.spec.bottleneck == dataclasses.replace(base.spec.bottleneck, dim=7)
    assert made.spec.likelihood == parts.find("likelihood", "poisson")()
    assert made.plan == dataclasses.replace(base.plan, epochs=3, lr=1.0)


def test_another_part_starts_from_its_own_defaults():
    made = read_config({"preset": "vae", "spec": {"bottleneck": {"name": "deterministic"}}})
    assert made.spec.bottleneck == parts.find("bottleneck", "deterministic")()
    assert read_config({"spec": {"bottleneck": "gaussian"}}) == presets.find("vae")


@pytest.mark.parametrize("name", presets.names())
def test_every_preset_survives_the_plain_form(name):
    preset = presets.find(name)
    full = json.loads(json.dumps({"preset": "pca", **to_dict(preset)}))
    assert accepted(full) == (True, True)
    read = read_config(full)
    assert read == preset
    assert read.spec == build(ModelSpec, full["spec"])


@pytest.mark.parametrize(
    ("config", "error", "said"),
    [
        ({"spec": {"bottleneck": {"dim": -3}}}, ConfigError, "model.spec.bottleneck.dim is -3; allowed: at least 1."),
        ({"plan": {"epochs": 2.5}}, ConfigError, "model.plan.epochs is 2.5; allowed: a whole number."),
        ({"spec": {"network": {"hidden": [8, 0]}}}, ConfigError, "model.spec.network.hidden is 0; allowed: at least 1."),
        (
            {"spec": {"likelihood": {"name": "nb", "link": "log"}}},
            ConfigError,
            "model.spec.likelihood.link is 'log'; allowed: ",
        ),
        ({"spec": {"corruption": {"low": 0.95}}}, ConfigError, "model.spec.corruption.low is 0.95 above high 0.9; allowed: low"),
        (
            {"spec": {"bottleneck": 3}},
            ConfigError,
            "model.spec.bottleneck is 3; allowed: one of binary, contractive",
        ),
        (
            {"spec": {"bottleneck": {"prior": {}}}},
            ConfigError,
            "model.spec.bottleneck.prior has no 'name'; allowed: label_normal",
        ),
        ({"spec": []}, ConfigError, "model.spec is []; allowed: a mapping of corruption"),
        (
            {"spec": {"bottleneck": {"dimm": 3}}},
            MissingKeyError,
            "model.spec.bottleneck: unknown field 'dimm': did you",
        ),
        ({"spec": {"likelihood": "zimb"}}, MissingKeyError, "model.spec.likelihood: unknown likelihood 'zimb': did you mean"),
        ({"spec": {"botleneck": {}}}, MissingKeyError, "model.spec: unknown key 'botleneck': did you mean 'bottleneck'"),
        ({"preset": "vea"}, MissingKeyError, "model.preset: unknown preset 'vea': did you mean 'vae'"),
        ({"presets": "vae"}, MissingKeyError, "model: unknown key 'presets': did you mean 'preset'"),
    ],
)
def test_faults_name_the_path(config, error, said):
    with pytest.raises(error) as fault:
        read_config(config, where="model.")
    assert str(fault.value).startswith(said)


def test_files(tmp_path):
    (tmp_path / "a.json").write_text("preset: vae")
    with pytest.raises(ModelFileError, match="is not JSON"):
        read_file(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(ModelFileError, match=r"a\.json holds \[1\]; allowed: a mapping"):
        read_file(tmp_path / "a.json")
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "b.json")


# ---- schema and reader accept the same


def values() -> st.SearchStrategy:
    small = st.integers(-3, 200) | st.floats(-2, 3) | st.sampled_from([0.0, 1.0, 8.0, 0.5, True, False, None, "exp", "8", "log"])
    return small | st.sampled_from(["softmax", "gene", "batch", "none", "relu"]) | st.lists(small, max_size=3) | st.just({})


def records(cls: type) -> st.SearchStrategy:
    """Fields of a record, right and wrong values, now and then a field it does not have."""
    keys = st.sampled_from([*fields(cls), "nosuch"])
    return st.dictionaries(keys, values(), max_size=3)


def changed_parts(kind: str) -> st.SearchStrategy:
    names = [*parts.names(kind), "nosuch"]
    named = [records(parts.find(kind, n)).map(lambda fields, n=n: fields | {"name": n}) for n in parts.names(kind)]
    nameless = [records(parts.find(kind, n)) for n in parts.names(kind)]
    return st.sampled_from(names) | st.one_of(named) | st.one_of(nameless) | st.sampled_from([None, 3, [], {"name": None}])


CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "preset": st.sampled_from([*presets.names(), "nosuch"]),
        "spec": st.none() | st.fixed_dictionaries({}, optional={key: changed_parts(kind) for key, kind in KINDS.items()}),
        "plan": st.none() | records(TrainPlan),
    },
)


def one_part() -> st.SearchStrategy:
    """A configuration with one thing in it, so that half of them are right."""
    spec = st.one_of([changed_parts(kind).map(lambda v, key=key: {"spec": {key: v}}) for key, kind in KINDS.items()])
    plan = records(TrainPlan).map(lambda v: {"plan": v})
    return st.tuples(spec | plan, st.sampled_from(list(presets.names()))).map(lambda t: t[0] | {"preset": t[1]})


def accepted(config: dict) -> tuple[bool, bool]:
    """By the schema, by the reader; a rule between two fields, which no schema can say, is not the reader's no."""
    jsonschema = pytest.importorskip("jsonschema")
    by_schema = jsonschema.Draft202012Validator(SCHEMA).is_valid(config)
    try:
        read_config(config)
    except (ConfigError, MissingKeyError) as fault:
        return by_schema, _between_fields(fault)
    return by_schema, True


def _between_fields(fault: Exception) -> bool:
    """Whether a part's own rule was broken, about fields together, which a schema cannot say."""
    return any(frame.name == "__post_init__" for frame in traceback.extract_tb((fault.__cause__ or fault).__traceback__))


@settings(max_examples=300)
@given(one_part() | CONFIGS)
@example({"spec": {"network": {"hidden": [8.0, 4]}}, "plan": {"epochs": 20.0, "lr": 1}})
@example({"spec": {"network": {"decoder_hidden": None}, "bottleneck": {"prior": "standard_normal"}}})
@example({"spec": {"network": {"decoder_hidden": []}, "bottleneck": {"prior": {}}}})
@example({"preset": "dca", "spec": {"bottleneck": {"beta": 0.5}}})
@example({"preset": "vae", "spec": {"bottleneck": {"beta": 0.5}}})
def test_schema_accepts_what_the_reader_accepts(config):
    by_schema, by_reader = accepted(config)
    assert by_schema == by_reader


POOL = [
    -1,
    0,
    1,
    2,
    8.0,
    0.5,
    1e-9,
    0.99,
    1e9,
    True,
    None,
    "exp",
    "nosuch",
    [],
    [8],
    [8.0, 4],
    [0],
    [0.5],
    ["8"],
    [None],
    [[8]],
    {},
]


def homes() -> list[tuple[dict, type]]:
    """A configuration with an empty place for each record's fields, and the record."""
    placed = [({"spec": {key: {"name": n}}}, parts.find(kind, n)) for key, kind in KINDS.items() for n in parts.names(kind)]
    return [*placed, ({"plan": {}}, TrainPlan)]


@pytest.mark.parametrize(("home", "cls"), homes(), ids=lambda v: v.__name__ if isinstance(v, type) else "")
def test_schema_and_reader_agree_on_every_field_and_at_every_bound(home, cls):
    for f in fields(cls).values():
        bounds = [b + step for b in (f.low, f.high) if b is not None for step in (-1, -1e-6, 0, 1e-6, 1)]
        for value in [*POOL, *bounds, *(f.choices or ())]:
            config = json.loads(json.dumps(home))
            (config["plan"] if "plan" in config else next(iter(config["spec"].values())))[f.name] = value
            by_schema, by_reader = accepted(config)
            assert by_schema == by_reader, config


@pytest.mark.parametrize("kind", [*KINDS.values(), "prior"])
def test_every_part_is_in_the_schema_with_its_defaults(kind):
    """Each part's own plain form is accepted, and no field of it is missing."""
    for name in parts.names(kind):
        cls = parts.find(kind, name)
        assert set(SCHEMA["$defs"][f"{kind}.{name}"]["properties"]) == {"name", *fields(cls)}
        if kind in KINDS.values():
            assert accepted({"spec": {next(k for k, v in KINDS.items() if v == kind): to_dict(cls())}}) == (True, True)


def test_the_schema_is_a_schema():
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


# ---- the command line


def flags() -> dict[tuple[str, ...], argparse.Action]:
    parser = argparse.ArgumentParser()
    add_model_options(parser, default="vae")
    paths = {name: option.path for name, option in model_options().items()}
    return {paths[a.dest.removeprefix("option.")]: a for a in parser._actions if a.dest.startswith("option.")}


def test_schema_and_options_agree_field_for_field():
    defs, plan = SCHEMA["$defs"], SCHEMA["properties"]["plan"]["properties"]
    by_option: dict[tuple[str, ...], list[dict]] = {}
    for key, kind in KINDS.items():
        by_option[("spec", key)] = [defs[kind]["then"]]
        for name in parts.names(kind):
            for field, said in defs[f"{kind}.{name}"]["properties"].items():
                if field != "name":
                    by_option.setdefault(("spec", key, field), []).append(said)
    for kind, owner in nested_kinds().items():
        for name in parts.names(kind):
            for field, said in defs[f"{kind}.{name}"]["properties"].items():
                if field != "name":
                    by_option.setdefault(("spec", owner, kind, field), []).append(said)
    by_option |= {("plan", field): [said] for field, said in plan.items()}
    options = flags()
    assert options.keys() == by_option.keys()
    for path, action in options.items():
        for said in by_option[path]:
            assert path == ("spec", path[1]) or any(s["description"] in action.help for s in by_option[path])
            assert all(str(choice) in action.help for choice in said.get("enum", ()))


WORDS = ["1", "0", "-3", "0.5", "8,4", "true", "exp", "batch", "2.5", "nosuch"]


@pytest.mark.parametrize("path", flags(), ids=".".join)
def test_a_word_means_the_same_in_a_file(path):
    """What a flag says and what the file says for it: both accepted and equal, or both refused."""
    flag = "--" + "-".join(path[-2:] if path[0] == "spec" and len(path) > 2 else path[1:]).replace("_", "-")
    parse = flags()[path].type or str
    for preset in ("vae", "dca", "pca"):
        for word in WORDS:
            try:
                value = parse(word)
            except (argparse.ArgumentTypeError, ValueError):
                continue  # argparse refuses the word itself
            plain = list(value) if isinstance(value, tuple) else value
            inner = {"name": plain} if len(path) == 2 and path[0] == "spec" else {path[-1]: plain}
            if len(path) == 4:  # of the part within the preset's part, if it has one
                own = getattr(getattr(presets.find(preset).spec, path[1]), path[2], None)
                inner = {path[2]: inner | ({"name": own.name} if own else {})}
            config = {"preset": preset, path[0]: inner if path[0] == "plan" else {path[1]: inner}}
            assert outcome(lambda: preset_from(command_line("--preset", preset, f"{flag}={word}"))) == outcome(  # noqa: B023
                lambda: read_config(config)  # noqa: B023
            )


def outcome(make) -> object:
    try:
        return make()
    except (ConfigError, MissingKeyError) as fault:
        return type(fault)


def test_options_win_over_the_file(tmp_path):
    file = tmp_path / "model.json"
    file.write_text(json.dumps({"preset": "scvi", "spec": {"bottleneck": {"dim": 4, "beta": 0.5}}, "plan": {"epochs": 7}}))
    made = preset_from(command_line("--config", str(file), "--bottleneck-dim", "6", "--lr", "0.1"))
    assert (made.spec.bottleneck.dim, made.spec.bottleneck.beta, made.plan.epochs, made.plan.lr) == (6, 0.5, 7, 0.1)
    assert made.spec.likelihood.name == "zinb"
    with pytest.raises(SystemExit):
        command_line("--config", str(file), "--preset", "dca")
    assert preset_from(command_line()) == presets.find("vae")
    file.write_text('{"plan": {"epochs": -1}}')
    with pytest.raises(ConfigError, match=r"model\.json: plan\.epochs is -1; allowed: at least 0\."):
        preset_from(command_line("--config", str(file)))


def test_the_committed_schema_is_the_generated_one():
    """Written anew by: scae parts --schema > workflows/scrnaseq/workflow/schemas/model.schema.json"""
    printed = run_python("from scae.cli import main; main(['parts', '--schema'])")
    assert COMMITTED.read_text("utf-8").strip() == printed
