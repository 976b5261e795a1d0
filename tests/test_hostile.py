"""Files from strangers: refused by name, soon and in little memory, or read as they were written."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers import PEAK, ROOT
from trust.mutants import forge, put, write_huge, write_matching, write_mutants, write_others, write_texts
from trust.tricks import POINTERS, SECRET, TRICKS, external_link, write_h5ad

import scae
from scae.errors import ModelFileError
from scae.io.modelfile import read_model

GIB = 1 << 30
PROBE = """
import json, sys, time
import scae
from trust.mutants import loaded
before = scae.load(sys.argv[1]).state_dict()
said = {}
for path in sys.stdin.read().split("\\n"):
    start = time.perf_counter()
    text = loaded(path, before)
    said[path] = (text, time.perf_counter() - start)
print(json.dumps([said, PEAK]))
""".replace("PEAK", PEAK)


def probe(good: Path, paths: list[Path], *, seconds: float = 60) -> tuple[dict[str, tuple[str, float]], int]:
    """What loading each file said and how long it took, and the peak memory of the process that did it, bytes."""
    names = "\n".join(map(str, paths))
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(good)],
        input=names,
        capture_output=True,
        text=True,
        timeout=seconds,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture
def good(tmp_path, model):
    model.save(tmp_path / "good.scae")
    return tmp_path / "good.scae"


# ---- models that are too large, or contradict themselves


def test_models_larger_than_their_weights_are_refused_before_they_are_made(good):
    said, peak = probe(good, write_huge(good), seconds=120)
    assert {path: text for path, (text, _) in said.items() if not text.startswith("refused")} == {}
    assert max(seconds for _, seconds in said.values()) < 10
    assert peak < GIB
    assert all(len(text) < 600 and "\n" not in text for text, _ in said.values())


def test_models_that_fit_their_weights_and_are_large_all_the_same_are_refused(good):
    said, peak = probe(good, write_matching(good))
    assert all("it describes a model of" in text for text, _ in said.values()), said
    assert peak < GIB


def test_descriptions_that_are_no_description_are_refused(good):
    paths = write_texts(good)
    said, peak = probe(good, paths, seconds=120)
    assert len(said) == len(paths)
    assert {path: text for path, (text, _) in said.items() if not text.startswith("refused")} == {}
    assert max(seconds for _, seconds in said.values()) < 10
    assert peak < GIB
    assert "is there twice" in said[str(good.with_name("twice.scae"))][0]
    assert "nested too deeply" in said[str(good.with_name("nested.scae"))][0]


@pytest.mark.parametrize(
    ("path", "value", "part"),
    [
        (("data", "counts_per_unit"), 0, "counts_per_unit is 0"),
        (("data", "median_library"), -1.0, "median_library is -1"),
        (("data", "genes"), "abc", "genes is 'abc'"),
        (("data", "genes"), 5, "genes is 5"),
        (("data", "genes", 1), "@0", "1 repeated"),
        (("data", "order"), [0, 0, 1], "order does not list"),
        (("data", "breaks"), [10**9], "breaks must rise"),
        (("data", "breaks"), [5, 5], "breaks must rise"),
        (("data", "levels"), [], "levels has 0 entries; allowed: 1"),
        (("data", "levels"), [["a", "a"]], "levels has 1 repeated"),
        (("data", "levels"), [["a", 3]], "levels is"),
        (("data", "moments"), [[0.0, 1.0]], "moments has 1 entries; allowed: 0"),
        (("data", "keys"), None, "keys"),
        (("data", "keys", "batch_key"), 3, "batch_key is 3"),
        (("spec", "network"), {"name": []}, "unknown network"),
        (("spec", "network", "hidden"), {"a": 1}, "hidden is"),
        (("spec",), [], "ModelSpec is []"),
        (("fitted",), [], "record of the fit"),
        (("fitted", "history"), {"rows": [{}], "best": 0, "stopped": ""}, "record of the fit"),
        (("fitted", "history", "best"), 10**6, "best 1000000"),
        (("fitted", "random_state"), "a", "random_state is 'a'"),
        (("fitted", "plan"), 3, "plan is 3"),
    ],
)
def test_contradictions_are_refused_by_name(good, path, value, part):
    arrays, about = read_model(good)
    forge(good, arrays, put(about, *path, value=about["data"]["genes"][0] if value == "@0" else value))
    with pytest.raises(ModelFileError) as refused:
        scae.load(good)
    assert part in str(refused.value)


def test_standard_deviations_of_zero_are_refused(good):
    arrays, about = read_model(good)
    about = put(put(about, "data", "keys", "continuous_covariates", value=["age"]), "data", "moments", value=[[1.0, 0.0]])
    forge(good, arrays, about)
    with pytest.raises(ModelFileError, match="standard deviations above 0"):
        scae.load(good)


def test_other_weights_are_refused_by_name(good):
    arrays, about = read_model(good)
    name = next(name for name, value in arrays.items() if value.ndim == 2)
    one = arrays[name].copy()
    one[0, 0] = np.nan
    changes = {
        "has NaN or infinite values": {name: one},
        "has shape": {name: arrays[name][:, :-1].copy()},
        "is in the file, but not in the model": {"more": one[1:]},
        "does not fit into torch.float32": {name: arrays[name].astype(np.float64) + 1e-12},
    }
    for said, change in changes.items():
        forge(good, arrays | change, about)
        with pytest.raises(ModelFileError, match=said):
            scae.load(good)
    forge(good, {k: v for k, v in arrays.items() if k != name}, about)
    with pytest.raises(ModelFileError, match=f"{name}' of the model that it describes is not in the file"):
        scae.load(good)


def test_what_is_not_a_file_is_refused_at_once(good):
    said, _ = probe(good, write_others(good))
    assert {path: text for path, (text, _) in said.items() if not text.startswith("refused")} == {}
    assert max(seconds for _, seconds in said.values()) < 1


# ---- random damage


@pytest.mark.parametrize("n", [150, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_damaged_file_is_refused_or_holds_the_same_weights(good, n):
    said, peak = probe(good, write_mutants(good, n), seconds=60 + n)
    assert len(said) == n
    assert peak < GIB
    assert {path: text for path, (text, _) in said.items() if not text.startswith(("refused", "same"))} == {}
    assert max(seconds for _, seconds in said.values()) < 10


# ---- h5ad files and zarr stores

COMMANDS = """
import json, sys, time, io, contextlib
import scae.cli
source, out, model = sys.argv[1:]
for argv in (["check", source], ["preprocess", source, out + "/p.h5ad", "--min-genes", "0"],
             ["embed", source, out + "/e.h5ad", "--model", model]):
    start, said = time.perf_counter(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        code = scae.cli.main([*argv, "--quiet"])
    print(json.dumps([argv[0], code, said.getvalue(), time.perf_counter() - start]))
print(PEAK)
""".replace("PEAK", PEAK)


@pytest.mark.parametrize("name", TRICKS)
def test_a_trick_is_refused_in_one_line_and_takes_nothing_along(name, tmp_path, good):
    source, out = TRICKS[name](tmp_path), tmp_path / "out"
    out.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, str(source), str(out), str(good)],
        capture_output=True, text=True, timeout=60, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    *lines, peak = done.stdout.splitlines()
    for line in lines:
        command, code, said, seconds = json.loads(line)
        assert (code, said.count("\n")) == (5, 1), (command, code, said)
        assert str(source) in said
        assert seconds < 10, command
    assert int(peak) < 2 * GIB
    assert not [p for p in out.rglob("*") if p.is_file()]
    assert SECRET.decode() not in done.stdout


@pytest.mark.parametrize("name", POINTERS)
@pytest.mark.parametrize("zarr", [False, True])
def test_pointers_that_lead_outside_the_values_end_no_process(name, zarr, tmp_path):
    path = write_h5ad(tmp_path)
    with h5py.File(path, "a") as file:
        file["X/indptr"][...] = POINTERS[name](file["X/indptr"][:])
    if zarr:
        with h5py.File(path) as file:
            root = importlib.import_module("zarr").open_group(tmp_path / "in.zarr", mode="w")
            for key in ("data", "indices", "indptr"):
                root.create_array(f"X/{key}", data=file["X"][key][:])
            root["X"].attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [60, 40]})
        path = tmp_path / "in.zarr"
    command = [sys.executable, "-m", "scae", "preprocess", str(path), str(tmp_path / "out.h5ad"), "--min-genes", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (5, 1), done.stderr[-500:]
    assert "pointers that do not rise" in done.stderr


def test_soft_links_inside_a_file_are_fine_and_the_caller_may_allow_the_others(tmp_path):
    from scae.cli.files import read
    from scae.pp._store import open_read

    path = write_h5ad(tmp_path)
    with h5py.File(path, "a") as file:
        file["layers/again"] = h5py.SoftLink("/X")
    assert (read(str(path)).layers["again"] != read(str(path)).X).nnz == 0
    with h5py.File(path, "a") as file:
        external_link(file, tmp_path)
    with pytest.raises(ModelFileError, match="link to another file"):
        read(str(path))
    assert read(str(path), allow_links=True).uns["stolen"].tobytes() == SECRET
    with open_read(path, allow_links=True) as root:
        assert root["uns/stolen"][:].tobytes() == SECRET
