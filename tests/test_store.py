"""The model file: what comes back is what was saved, and damage is noticed."""

from __future__ import annotations

import json
import stat

import numpy as np
import pytest
from helpers import same_weights
from safetensors import safe_open
from safetensors.numpy import save_file

import scae
from scae import threads
from scae.environment import environment
from scae.errors import ModelFileError, OutputError
from scae.io.modelfile import read_model, write_model
from scae.io.writer import replacing
from scae.model import FORMAT


@pytest.fixture
def path(tmp_path, model):
    model.save(tmp_path / "model.scae")
    return tmp_path / "model.scae"


def test_reload_is_saved(path, model, pbmc):
    back = scae.load(path)
    assert same_weights(back, model)
    assert (back.spec, back.data, back.fitted) == (model.spec, model.data, json.loads(json.dumps(model.fitted)))
    scae.tl.embed(pbmc, model)
    scae.tl.embed(pbmc, back, key_added="again")
    assert pbmc.obsm["again"].tobytes() == pbmc.obsm["X_scae"].tobytes()
    back.save(path.with_name("twice.scae"))
    assert same_weights(scae.load(path.with_name("twice.scae")), model)


def test_the_header_is_json_and_nothing_is_pickled(path, model):
    with safe_open(path, "numpy") as f:
        assert set(f.metadata()) == {"about", "sha256"}
        assert set(f.keys()) == set(model.state_dict())
    raw = path.read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert json.loads(header["__metadata__"]["about"])["scae"] == scae.__version__


def test_the_file_is_an_ordinary_one(path, tmp_path):
    (tmp_path / "plain").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.scae", "plain"]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.999])
def test_truncated_files_are_refused(path, share):
    raw = path.read_bytes()
    path.write_bytes(raw[: int(share * len(raw))])
    with pytest.raises(ModelFileError, match=r"model\.scae"):
        scae.load(path)


@pytest.mark.parametrize("place", [0.02, 0.3, 0.6, 0.95])
def test_a_flipped_byte_is_noticed(path, place):
    raw = bytearray(path.read_bytes())
    raw[int(place * len(raw))] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ModelFileError, match=r"model\.scae"):
        scae.load(path)


def test_other_files_are_not_models(tmp_path):
    (tmp_path / "text").write_text("not a model, though long enough for a header")
    save_file({"a": np.zeros(3)}, tmp_path / "tensors")
    for name, said in (("text", "not a scae model"), ("tensors", "not one that scae wrote"), ("absent", "no model file")):
        with pytest.raises(ModelFileError, match=said):
            scae.load(tmp_path / name)


@pytest.mark.parametrize(
    "change",
    [
        lambda about: about["spec"].update(likelihood={"name": "future"}),
        lambda about: about["spec"]["network"].update(future=1),
        lambda about: about["spec"]["bottleneck"].update(dim=7),
        lambda about: about["data"].update(future=1),
        lambda about: about.pop("spec"),
    ],
)
def test_models_of_other_versions_are_refused_by_name(path, change):
    arrays, about = read_model(path)
    change(about)
    write_model(path, arrays, about | {"scae": "99.0"})
    with pytest.raises(ModelFileError, match=r"written by scae 99\.0"):
        scae.load(path)


def test_a_newer_format_is_refused_by_name(path):
    arrays, about = read_model(path)
    write_model(path, arrays, about | {"format": FORMAT + 1, "scae": "99.0", "spec": "of a kind unknown today"})
    said = rf"written by scae 99\.0.*in format {FORMAT + 1}; this one reads formats up to {FORMAT}\. Upgrade scae"
    with pytest.raises(ModelFileError, match=said):
        scae.load(path)


def test_a_file_without_a_format_is_refused(path):
    arrays, about = read_model(path)
    about.pop("format")
    write_model(path, arrays, about)
    with pytest.raises(ModelFileError, match="its format is None; allowed: a whole number from 1"):
        scae.load(path)


def test_the_file_says_where_the_model_was_fitted(path):
    here = environment("cpu")
    with threads.use(2):
        there = environment("cpu")
    assert scae.load(path).fitted["environment"].items() >= {k: v for k, v in here.items() if "threads" not in k}.items()
    assert (there["threads"], there["torch_threads"]) == (2, 2)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(TypeError), replacing(target) as beside, beside.open("w") as file:
        file.writelines(["half of the ne", 3])
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_values_that_are_not_json_leave_the_old_file(path, model):
    before = path.read_bytes()
    with pytest.raises((ValueError, TypeError)):
        write_model(path, {"a": np.zeros(1)}, {"bad": float("nan")})
    assert path.read_bytes() == before
    with pytest.raises(OutputError, match="no folder"):
        model.save(path.parent / "absent" / "model.scae")
