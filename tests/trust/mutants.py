"""Models from strangers: damaged bytes, forged descriptions, and descriptions of what no file should describe."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

import scae
from scae.errors import ModelFileError
from scae.io.modelfile import digest, read_model
from scae.keys import DataSpec
from scae.parts import build
from scae.store import _Nowhere, _Sketching


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


# ---- models that are too large

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


MATCHING = {  # what they keep beside their weights is what is large
    "product of windows": {"name": "conv1d", "channels": [1] * 6, "windows": [100] * 6},
    "square of a window": {"name": "conv1d", "channels": [1], "windows": [30_000], "upsampling": "nearest"},
}


# ---- descriptions that are none

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


def _texts(about: dict) -> dict[str, str]:
    """All of them, and five that are almost right."""
    whole = json.dumps(about)
    almost = {
        "twice": whole[:-1] + ', "spec": {}}',
        "half a character": whole.replace('"data": {', '"data": {"\\ud800": 1, ', 1),
        "endless number": whole.replace('"median_library": ', '"median_library": 1e999, "m": ', 1),
        "NaN": whole.replace('"counts_per_unit": ', '"counts_per_unit": NaN, "m": ', 1),
        "long number": whole.replace('"counts_per_unit": ', f'"counts_per_unit": 1{"0" * 5000}, "m": ', 1),
    }
    assert whole not in almost.values()
    return TEXTS | almost


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
            here[key] = odd[int(rng.integers(len(odd)))]
            break
    text = json.dumps(about)
    if rng.random() < 0.2:
        at = int(rng.integers(len(text)))
        text = text[:at] + str(rng.choice(list('{}[]",:0e9-\\'))) + text[at + int(rng.integers(2)) :]
    return text


# ---- all of them as files beside a good one


def write_huge(good: Path) -> list[Path]:
    """Models whose description is larger than their weights."""
    arrays, about = read_model(good)
    paths = [good.with_name(f"{name}.scae") for name in HUGE]
    for path, change in zip(paths, HUGE.values(), strict=True):
        forge(path, arrays, change(about))
    return paths


def write_matching(good: Path) -> list[Path]:
    """Models whose weights are those that they describe."""
    about = read_model(good)[1]
    paths = [good.with_name(f"{name}.scae") for name in MATCHING]
    for path, network in zip(paths, MATCHING.values(), strict=True):
        huge = put(about, "spec", "network", value=network)
        with torch.device("meta"), _Sketching(10**6):
            model = scae.Autoencoder(build(scae.ModelSpec, huge["spec"]), build(DataSpec, huge["data"]), _Nowhere())
        forge(path, {key: np.zeros(tuple(value.shape), np.float32) for key, value in model.state_dict().items()}, huge)
    return paths


def write_texts(good: Path) -> list[Path]:
    """Models with something else in place of the description, or of the header."""
    arrays, about = read_model(good)
    texts = _texts(about)
    for name, text in texts.items():
        forge(good.with_name(f"{name}.scae"), arrays, text)
    headers = {
        "no text": json.dumps({"__metadata__": {"about": 3, "sha256": ["a"]}}).encode(),
        "long": b'{"__metadata__": {"about": "' + b"a" * 40_000_000 + b'"}}',
    }
    for name, header in headers.items():
        good.with_name(f"{name}.scae").write_bytes(len(header).to_bytes(8, "little") + header)
    return [good.with_name(f"{name}.scae") for name in (*texts, *headers)]


def write_others(good: Path) -> list[Path]:
    """What is not an ordinary file, or has nothing in it."""
    folder = good.parent
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    (folder / "empty").touch()
    names = ["folder", "pipe", "loop", "empty", "absent", "n" * 300]
    return [folder / name for name in names] + [Path("/dev/zero"), Path("/dev/null")]


def write_mutants(good: Path, n: int) -> list[Path]:
    """Random damage: in turn to the bytes, and to the description, with a checksum that is right."""
    raw, (arrays, about), rng = good.read_bytes(), read_model(good), np.random.default_rng(0)
    paths = [good.with_name(f"mutant-{i}.scae") for i in range(n)]
    for i, path in enumerate(paths):
        if i % 2:
            forge(path, arrays, mistaken(about, rng))
        else:
            path.write_bytes(damaged(raw, rng))
    return paths


# ---- what became of one


def loaded(path: Path, before: Mapping[str, torch.Tensor]) -> str:
    """What loading a file does: "same" weights as before, or refused by name; anything else is a fault."""
    try:
        after = scae.load(path).state_dict()
    except ModelFileError as fault:
        return f"refused: {fault}"
    except BaseException as fault:
        return f"FOREIGN {type(fault).__name__}: {fault}"
    return "same" if after.keys() == before.keys() and all(torch.equal(after[k], before[k]) for k in before) else "OTHER WEIGHTS"
