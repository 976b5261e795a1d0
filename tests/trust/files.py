"""Damaged and hostile h5ad files and zarr stores, through three commands."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import anndata
import h5py
import numpy as np
import scipy.sparse as sp
from helpers import QUICK
from test_hostile import GIB, SECRET, TRICKS, damaged

import scae
import scae.cli
from scae.cli.files import write

from . import children
from .figure import Figure

_SECONDS = 10  # per command
_CODES = (0, 2, 3, 5)  # done, a wrong option, wrong data, a wrong file
_KINDS = {"CSR": sp.csr_matrix, "CSC": sp.csc_matrix, "dense": np.asarray}
_ODD = (-1, 0, 1, 39, 40, 59, 60, 10**6, 2**31 - 1, 2**31, 2**62)
_COMMANDS = {
    "check": ("check", "{source}"),
    "preprocess": ("preprocess", "{source}", "{out}/p.h5ad", "--min-genes", "0"),
    "embed": ("embed", "{source}", "{out}/e.h5ad", "--model", "{model}"),
}
Said = list[tuple[str, int, str, float]]  # command, exit code, stderr, seconds


def figures(*, reduced: bool) -> Iterator[Figure]:
    """One figure; a case is a file and a command."""
    figure, codes, slowest, highest = (
        Figure("a documented exit code and at most one line, nothing read from outside"),
        Counter(),
        0.0,
        0,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "model.scae"
        scae.tl.fit(_counts("CSR"), plan=QUICK).save(model)
        for case, source in _sources(folder, 40 if reduced else 400):
            out = source.parent / "out"
            out.mkdir()
            how, result = children.run(_commands, str(source), str(out), str(model), seconds=_SECONDS * len(_COMMANDS))
            said, peak = result if how == "ended" else ([], 0)
            for command, code, text, seconds in said:
                codes[code], slowest = codes[code] + 1, max(slowest, seconds)
                figure.case(f"{case}, {command}", _judged(command, code, text, seconds))
            highest = max(highest, peak)
            if how != "ended":
                figure.case(case, f"{how}: {result}")
            elif peak > GIB:
                figure.case(case, f"took {peak >> 20} MiB; allowed: 1024 MiB")
            if any(SECRET in file.read_bytes() for file in out.rglob("*") if file.is_file()):
                figure.case(case, "bytes of another file are in the output")
            shutil.rmtree(source.parent)
    counted = ", ".join(f"{code}: {times}" for code, times in sorted(codes.items()))
    figure.measured.append(f"exit codes {counted}; slowest {slowest:.1f} s; peak memory {highest >> 20} MiB")
    yield figure


def _commands(source: str, out: str, model: str) -> tuple[Said, int]:
    """What each command did, and the peak memory of the process, bytes."""
    said: Said = []
    for name, words in _COMMANDS.items():
        text, start = io.StringIO(), time.perf_counter()
        argv = [word.format(source=source, out=out, model=model) for word in words]
        with contextlib.redirect_stderr(text), contextlib.redirect_stdout(io.StringIO()):
            code = scae.cli.main([*argv, "--quiet"])
        said.append((name, code, text.getvalue(), time.perf_counter() - start))
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return said, int(peak.split()[1]) * 1024


def _judged(command: str, code: int, text: str, seconds: float) -> str | None:
    if code not in _CODES:
        return f"exit code {code}: {text}"
    reported = command == "check" and code == 3  # what it found is on stdout
    if code and not reported and (text.count("\n") != 1 or not text.startswith("scae ")):
        return f"{text.count(chr(10))} lines: {text[:300]}"
    if SECRET.decode() in text:
        return "bytes of another file are in the message"
    return f"took {seconds:.0f} s" if seconds > _SECONDS else None


def _counts(kind: str) -> anndata.AnnData:
    x = np.random.default_rng(0).poisson(1.0, (60, 40)).astype(np.float32)
    adata = anndata.AnnData(_KINDS[kind](x))
    adata.obs["batch"] = np.repeat(["a", "b"], 30)
    return adata


def _sources(folder: Path, n: int) -> Iterator[tuple[str, Path]]:
    """Each file in a folder of its own: tricks first, then damage of every kind to every kind of matrix, turn by turn."""
    rng = np.random.default_rng(0)
    for name, trick in TRICKS.items():
        (folder / "case").mkdir()
        yield name, trick(folder / "case")
    changes = [(store, change) for change in (_bytes, _numbers, _attributes, _removed) for store in ("h5ad", "zarr")]
    for i in range(n - len(TRICKS)):
        kind, (store, change) = list(_KINDS)[i % len(_KINDS)], changes[i // len(_KINDS) % len(changes)]
        (folder / "case").mkdir()
        source = folder / "case" / f"in.{store}"
        adata = _counts(kind)
        write(adata, str(source))
        change(source, rng)
        yield f"{change.__name__.strip('_')} of {store} {kind} {i}", source


def _some_file(source: Path, rng: np.random.Generator) -> Path:
    """The file, or one of a store's, descriptions as often as chunks."""
    if source.is_file():
        return source
    files = sorted(path for path in source.rglob("*") if path.is_file() and path.stat().st_size)
    described = [path for path in files if path.name in (".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json")]
    chosen = described if rng.random() < 0.5 else sorted(set(files) - set(described))
    return chosen[int(rng.integers(len(chosen)))]


def _bytes(source: Path, rng: np.random.Generator) -> None:
    """Bytes changed, lost or added anywhere."""
    path = _some_file(source, rng)
    path.write_bytes(damaged(path.read_bytes(), rng))


def _numbers(source: Path, rng: np.random.Generator) -> None:
    """Values of the matrix, or its indices or pointers, replaced by odd ones."""
    root = _opened(source)
    x = root["X"]
    array = x if hasattr(x, "shape") else x[str(rng.choice(["data", "indices", "indptr"]))]
    values = array[...]
    odd = np.array([np.nan, np.inf, -1, 0.5, 1e30] if values.dtype.kind == "f" else _ODD)
    for at in rng.integers(values.size, size=int(rng.integers(1, 4))):
        values.reshape(-1)[at] = odd[int(rng.integers(odd.size))].astype(values.dtype)
    array[...] = values
    _close(root)


def _attributes(source: Path, rng: np.random.Generator) -> None:
    """A shape, a kind or a version that the file does not have."""
    root = _opened(source)
    place = root[str(rng.choice(["X", "obs", "var", "uns", "obs/batch"]))]
    odd = [
        [60, 2**40],
        [2**40, 40],
        [-1, 40],
        [40, 60],
        [60],
        "csr_matrix",
        "csc_matrix",
        "array",
        "dataframe",
        "dict",
        "x",
        "",
        7,
    ]
    names = sorted(place.attrs) or ["encoding-type"]
    place.attrs[str(names[int(rng.integers(len(names)))])] = odd[int(rng.integers(len(odd)))]
    _close(root)


def _removed(source: Path, rng: np.random.Generator) -> None:
    """A part that is not there, or half of the file."""
    if rng.random() < 0.3:
        path = _some_file(source, rng)
        os.truncate(path, path.stat().st_size // 2)
        return
    root = _opened(source)
    places = ["X", "obs", "var", "uns", "obs/_index", "obs/batch/codes", "var/_index"]
    places += [] if hasattr(root["X"], "shape") else ["X/data", "X/indices", "X/indptr"]
    del root[str(rng.choice(places))]
    _close(root)


def _opened(source: Path) -> h5py.File:
    if source.is_file():
        return h5py.File(source, "a")
    import zarr

    return zarr.open_group(source, mode="a")


def _close(root: h5py.File) -> None:
    if isinstance(root, h5py.File):
        root.close()
