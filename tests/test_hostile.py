"""Files from strangers: refused by name, soon and in little memory, or read as they were written."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from helpers import PEAK, ROOT
from safetensors.numpy import save_file

import scae
from scae.errors import ModelFileError
from scae.io.modelfile import digest, read_model
from scae.keys import DataSpec
from scae.parts import build
from scae.store import _Nowhere, _Sketching

GIB = 1 << 30
PROBE = """
import json, sys, time
import scae, torch
before = scae.load(sys.argv[1]).state_dict()
said = {}
for path in sys.stdin.read().split("\\n"):
    start = time.perf_counter()
    try:
        after = scae.load(path).state_dict()
        same = after.keys() == before.keys() and all(torch.equal(after[k], before[k]) for k in before)
        text = "same" if same else "OTHER WEIGHTS"
    except scae.errors.ModelFileError as fault:
        text = f"refused: {fault}"
    except BaseException as fault:
        text = f"FOREIGN {type(fault).__name__}: {fault}"
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
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture
def good(tmp_path, model):
    model.save(tmp_path / "good.scae")
    return tmp_path / "good.scae"


def forge(path: Path, arrays: dict, about: object) -> None:
    """A model file with a checksum that is right; ``about`` is JSON, or a text in its place."""
    text = about if isinstance(about, str) else json.dumps(about)
    save_file(arrays, path, metadata={"about": text, "sha256": digest(arrays, text)})


def put(about: dict, *path: str | int, value: object) -> dict:
    """The description with another value at one place."""
    about = json.loads(json.dumps(about))
    here = about
    for name in path[:-1]:
        here = here[name]
    here[path[-1]] = value
    return about


# ---- models that are too large, or contradict themselves

HUGE = {
    "hidden": lambda a: put(a, "spec", "network", "hidden", value=[100_000, 100_000]),
    "deep": lambda a: put(a, "spec", "network", "hidden", value=[1] * 1_000_000),
    "decoders": lambda a: put(a, "spec", "network", "n_decoders", value=10**9),
    "latent": lambda a: put(a, "spec", "bottleneck", "dim", value=10**9),
    "beyond 64 bits": lambda a: put(a, "spec", "bottleneck", "dim", value=10**30),
    "overflow": lambda a: put(a, "spec", "bottleneck", "dim", value=2**62),
    "codes": lambda a: put(a, "spec", "bottleneck", value={"name": "vq", "n_codes": 10**9, "dim": 10**6}),
    "components": lambda a: put(a, "spec", "bottleneck", "prior", value={"name": "mixture", "n_components": 10**12}),
    "windows": lambda a: put(a, "spec", "network", value={"name": "conv1d", "channels": [1] * 9, "windows": [100] * 9}),
    "one window": lambda a: put(
        a, "spec", "network", value={"name": "conv1d", "channels": [1], "windows": [10**5], "upsampling": "nearest"}
    ),
    "top dims": lambda a: put(a, "spec", "bottleneck", value={"name": "hierarchical", "top_dims": [10**8] * 3}),
    "genes": lambda a: put(a, "data", "genes", value=[f"g{i}" for i in range(1_000_000)]),
    "levels": lambda a: put(a, "data", "levels", value=[[f"l{i}" for i in range(1_000_000)]]),
    "embedded levels": lambda a: put(
        put(a, "data", "levels", value=[[f"l{i}" for i in range(1_000_000)]]),
        "spec",
        "network",
        "covariate_embedding",
        value=10**6,
    ),
}


def test_models_larger_than_their_weights_are_refused_before_they_are_made(good):
    arrays, about = read_model(good)
    for name, change in HUGE.items():
        forge(good.with_name(f"{name}.scae"), arrays, change(about))
    said, peak = probe(good, [good.with_name(f"{name}.scae") for name in HUGE], seconds=120)
    assert {path: text for path, (text, _) in said.items() if not text.startswith("refused")} == {}
    assert max(seconds for _, seconds in said.values()) < 10
    assert peak < GIB
    assert all(len(text) < 600 and "\n" not in text for text, _ in said.values())


MATCHING = {  # what they keep beside their weights is what is large
    "product of windows": {"name": "conv1d", "channels": [1] * 6, "windows": [100] * 6},
    "square of a window": {"name": "conv1d", "channels": [1], "windows": [30_000], "upsampling": "nearest"},
}


def test_models_that_fit_their_weights_and_are_large_all_the_same_are_refused(good):
    about = read_model(good)[1]
    for name, network in MATCHING.items():
        huge = put(about, "spec", "network", value=network)
        with torch.device("meta"), _Sketching(10**6):
            model = scae.Autoencoder(build(scae.ModelSpec, huge["spec"]), build(DataSpec, huge["data"]), _Nowhere())
        shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
        forge(good.with_name(f"{name}.scae"), {key: np.zeros(shape, np.float32) for key, shape in shapes.items()}, huge)
    said, peak = probe(good, [good.with_name(f"{name}.scae") for name in MATCHING])
    assert all("it describes a model of" in text for text, _ in said.values()), said
    assert peak < GIB


TEXTS = {
    "nested": "[" * 100_000 + "]" * 100_000,
    "nested objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "many lists": "[" + "[]," * 5_000_000 + "[]]",
    "a list": "[1, 2]",
    "a text": '"spec"',
    "null": "null",
    "not JSON": "{'spec': 1}",
    "empty": "",
    "no keys": "{}",
}


def test_descriptions_that_are_no_description_are_refused(good):
    arrays, about = read_model(good)
    whole = json.dumps(about)
    twice = {
        "twice": whole[:-1] + ', "spec": {}}',
        "half a character": whole.replace('"data": {', '"data": {"\\ud800": 1, ', 1),
        "endless number": whole.replace('"median_library": ', '"median_library": 1e999, "m": ', 1),
        "NaN": whole.replace('"counts_per_unit": ', '"counts_per_unit": NaN, "m": ', 1),
        "long number": whole.replace('"counts_per_unit": ', f'"counts_per_unit": 1{"0" * 5000}, "m": ', 1),
    }
    for name, text in (TEXTS | twice).items():
        assert text != whole
        forge(good.with_name(f"{name}.scae"), arrays, text)
    header = json.dumps({"__metadata__": {"about": 3, "sha256": ["a"]}}).encode()
    good.with_name("no text.scae").write_bytes(len(header).to_bytes(8, "little") + header)
    long = b'{"__metadata__": {"about": "' + b"a" * 40_000_000 + b'"}}'
    good.with_name("long.scae").write_bytes(len(long).to_bytes(8, "little") + long)
    said, peak = probe(good, sorted(set(good.parent.glob("*.scae")) - {good}), seconds=120)
    assert len(said) == len(TEXTS) + len(twice) + 2
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
        (("fitted", "environment"), 3, "environment is 3"),
        (("fitted", "environment"), {"threads": "two"}, "environment is {'threads': 'two'}"),
        (("fitted", "environment"), {"cpu": "x" * 10**6}, "environment is {'cpu'"),
        (("format",), "one", "format is 'one'"),
        (("format",), True, "format is True"),
        (("format",), 0, "format is 0"),
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
    folder = good.parent
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    (folder / "empty").touch()
    names = ["folder", "pipe", "loop", "empty", "absent", "n" * 300]
    said, _ = probe(good, [folder / name for name in names] + [Path("/dev/zero"), Path("/dev/null")])
    assert {path: text for path, (text, _) in said.items() if not text.startswith("refused")} == {}
    assert max(seconds for _, seconds in said.values()) < 1


# ---- random damage


def damaged(raw: bytes, rng: np.random.Generator) -> bytes:
    """One of five kinds of damage, in the header as often as in the weights."""
    data = bytearray(raw)
    header = min(8 + int.from_bytes(raw[:8], "little"), len(raw))
    at = int(rng.integers(header if rng.random() < 0.6 else len(raw)))
    kind = rng.integers(5)
    if kind == 0:
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        data[at] = int(rng.integers(256))
    elif kind == 2:
        del data[at:]
    elif kind == 3:
        del data[at : at + int(rng.integers(1, 20))]
    else:
        data[at:at] = data[int(rng.integers(len(raw))) :][: int(rng.integers(1, 200))]
    return bytes(data)


def mistaken(about: dict, rng: np.random.Generator) -> dict | str:
    """The description with one to three odd values, names or characters in it."""
    odd = [None, True, -1, 0, 0.5, 2**40, 2**70, 1e308, "", "x", "\x00", [], {}, [[]], {"name": "x"}, [1] * 999, ["a", "a"]]
    about = json.loads(json.dumps(about))
    for _ in range(int(rng.integers(1, 4))):
        here = about
        while True:
            keys = list(here) if isinstance(here, dict) else range(len(here))
            key = keys[int(rng.integers(len(keys)))]
            if isinstance(here[key], dict | list) and len(here[key]) and rng.random() < 0.8:
                here = here[key]
                continue
            here[key] = json.loads(json.dumps(odd[int(rng.integers(len(odd)))]))  # a copy: a list must not come to hold itself
            break
    text = json.dumps(about)
    if rng.random() < 0.2:
        at = int(rng.integers(len(text)))
        text = text[:at] + str(rng.choice(list('{}[]",:0e9-\\'))) + text[at + int(rng.integers(2)) :]
    return text


def mutants(good: Path, n: int) -> list[Path]:
    """Damaged copies of a model file, and files with a right checksum and a wrong description, turn by turn."""
    raw, (arrays, about), rng = good.read_bytes(), read_model(good), np.random.default_rng(0)
    paths = []
    for i in range(n):
        path = good.with_name(f"mutant-{i}.scae")
        if i % 2:
            forge(path, arrays, mistaken(about, rng))
        else:
            path.write_bytes(damaged(raw, rng))
        paths.append(path)
    return paths


def test_a_damaged_file_is_refused_or_holds_the_same_weights(good):
    """Reduced; ``make trust`` tries a thousand."""
    said, peak = probe(good, mutants(good, 150), seconds=200)
    assert len(said) == 150
    assert peak < GIB
    assert {path: text for path, (text, _) in said.items() if not text.startswith(("refused", "same"))} == {}
    assert max(seconds for _, seconds in said.values()) < 10


# ---- h5ad files and zarr stores

SECRET = b"root:x:0:0:the secret of another file"
Trick = Callable[[Path], Path]


def h5ad(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    adata = anndata.AnnData(sp.csr_matrix(rng.poisson(1.0, (60, 40)).astype(np.float32)))
    adata.obs["batch"] = np.repeat(["a", "b"], 30)
    adata.write_h5ad(folder / "in.h5ad")
    return folder / "in.h5ad"


def other(folder: Path) -> tuple[Path, Path]:
    """Another user's files: an HDF5 file and a text."""
    with h5py.File(folder / "other.h5", "w") as file:
        file["secret"] = np.frombuffer(SECRET, np.uint8)
        file["secret"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    (folder / "secret.txt").write_bytes(SECRET)
    return folder / "other.h5", folder / "secret.txt"


def _edited(change: Callable[[h5py.File, Path], object]) -> Trick:
    def trick(folder: Path) -> Path:
        path = h5ad(folder)
        with h5py.File(path, "a") as file:
            change(file, folder)
        return path

    return trick


MARKS = {"encoding-type": "array", "encoding-version": "0.2.0"}


def _external_link(file: h5py.File, folder: Path) -> None:
    file["uns/stolen"] = h5py.ExternalLink(other(folder)[0], "/secret")


def _through_soft_link(file: h5py.File, folder: Path) -> None:
    file["aside"] = h5py.ExternalLink(other(folder)[0], "/")
    file["uns/stolen"] = h5py.SoftLink("/aside/secret")


def _external_storage(file: h5py.File, folder: Path) -> None:
    outside = [(str(other(folder)[1]), 0, len(SECRET))]
    file.create_dataset("uns/stolen", (len(SECRET),), np.uint8, external=outside).attrs.update(MARKS)


def _virtual(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((len(SECRET),), np.uint8)
    layout[:] = h5py.VirtualSource(other(folder)[0], "secret", (len(SECRET),))
    file.create_virtual_dataset("uns/stolen", layout)
    file["uns/stolen"].attrs.update(MARKS)


def _many_rows(file: h5py.File, _: Path) -> None:
    del file["X/indptr"]
    file["X"].create_dataset("indptr", (10**12 + 1,), np.int64, chunks=(1 << 20,))
    file["X"].attrs["shape"] = [10**12, 40]


def _rows_without_pointers(file: h5py.File, _: Path) -> None:
    file["X"].attrs["shape"] = [10**12, 40]


def _large_dense(file: h5py.File, _: Path) -> None:
    del file["X"]
    file.create_dataset("X", (10**12, 1000), np.float32, chunks=(1000, 1000)).attrs.update(MARKS)


def _large_uns(file: h5py.File, _: Path) -> None:
    file.create_dataset("uns/a", (10**15,), np.float32, chunks=(1000,)).attrs.update(MARKS)


def _long_fill(file: h5py.File, _: Path) -> None:
    made = file.create_dataset("uns/a", (10**6,), h5py.string_dtype(), fillvalue="a" * 60_000, chunks=(1000,))
    made.attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})


def _contains_itself(file: h5py.File, _: Path) -> None:
    file["uns/a"] = file["uns"]


def _doubling(file: h5py.File, _: Path) -> None:
    groups = [file["uns"].create_group(f"g{i}") for i in range(40)]
    for one, two in itertools.pairwise(groups):
        one["a"] = two
        one["b"] = h5py.SoftLink(two.name)


def _deep(file: h5py.File, _: Path) -> None:
    here = file["uns"]
    for _level in range(500):
        here = here.create_group("a")


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "in.h5ad")
    return folder / "in.h5ad"


def _zarr(change: Callable[[Path, Path], object]) -> Trick:
    def trick(folder: Path) -> Path:
        anndata.read_h5ad(h5ad(folder)).write_zarr(folder / "in.zarr")
        change(folder / "in.zarr", folder)
        return folder / "in.zarr"

    return trick


def _zarr_link(store: Path, folder: Path) -> None:
    chunk = next(p for p in sorted((store / "X" / "data").rglob("*")) if p.is_file() and not p.name.startswith((".", "zarr")))
    chunk.unlink()
    chunk.symlink_to(other(folder)[1])


def _zarr_folder_link(store: Path, folder: Path) -> None:
    (folder / "apart").mkdir()
    (store / "uns").rename(folder / "apart" / "uns")
    (store / "uns").symlink_to(folder / "apart" / "uns")


def _zarr_pipe(store: Path, _: Path) -> None:
    os.mkfifo(store / "X" / "pipe")


def _zarr_rows(store: Path, _: Path) -> None:
    for meta in (m for m in store.rglob("*") if m.name in ("zarr.json", ".zarray", ".zmetadata")):
        text = json.loads(meta.read_text())
        where = "X/indptr" if meta.parent == store else None
        for place in (text, *(v for k, v in _consolidated(text).items() if where and k.startswith(where))):
            if "shape" in place and (where or meta.parent.name == "indptr"):
                place["shape"] = [10**12 + 1]
        meta.write_text(json.dumps(text))


def _consolidated(text: dict) -> dict:
    return text.get("metadata") or (text.get("consolidated_metadata") or {}).get("metadata") or {}


TRICKS: dict[str, Trick] = {
    "external link": _edited(_external_link),
    "through a soft link": _edited(_through_soft_link),
    "external storage": _edited(_external_storage),
    "virtual": _edited(_virtual),
    "many rows": _edited(_many_rows),
    "rows without pointers": _edited(_rows_without_pointers),
    "large dense": _edited(_large_dense),
    "large uns": _edited(_large_uns),
    "long fill": _edited(_long_fill),
    "contains itself": _edited(_contains_itself),
    "doubling": _edited(_doubling),
    "deep": _edited(_deep),
    "pipe": _pipe,
    "zarr link": _zarr(_zarr_link),
    "zarr folder link": _zarr(_zarr_folder_link),
    "zarr pipe": _zarr(_zarr_pipe),
    "zarr rows": _zarr(_zarr_rows),
}

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


POINTERS = {
    "too few": lambda indptr: [*indptr[:-1], 3],
    "too many": lambda indptr: [*indptr[:20], *(10**6 + indptr[20:])],
    "far away": lambda indptr: [*indptr[:20], 10**9, *indptr[21:]],
    "negative": lambda indptr: [-50, *indptr[1:]],
    "late": lambda indptr: [5, *indptr[1:]],
}


@pytest.mark.parametrize("name", POINTERS)
@pytest.mark.parametrize("zarr", [False, True])
def test_pointers_that_lead_outside_the_values_end_no_process(name, zarr, tmp_path):
    path = h5ad(tmp_path)
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

    path = h5ad(tmp_path)
    with h5py.File(path, "a") as file:
        file["layers/again"] = h5py.SoftLink("/X")
    assert (read(str(path)).layers["again"] != read(str(path)).X).nnz == 0
    with h5py.File(path, "a") as file:
        _external_link(file, tmp_path)
    with pytest.raises(ModelFileError, match="link to another file"):
        read(str(path))
    assert read(str(path), allow_links=True).uns["stolen"].tobytes() == SECRET
    with open_read(path, allow_links=True) as root:
        assert root["uns/stolen"][:].tobytes() == SECRET
