"""Damaged and hostile h5ad files and zarr stores, through three commands."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import anndata
import numpy as np
from helpers import QUICK
from test_hostile import GIB, SECRET, TRICKS

import scae
import scae.cli

from . import children
from .damage import KINDS, LAYOUTS, OUT, write_good
from .figure import Figure

_SECONDS = 10  # per command
_CODES = (0, 2, 3, 5)  # done, a wrong option, wrong data, a wrong file
_COMMANDS = {
    "check": ("check", "{source}"),
    "preprocess": ("preprocess", "{source}", "{out}/p.h5ad", "--min-genes", "0"),
    "embed": ("embed", "{source}", "{out}/e.h5ad", "--model", "{model}"),
    "embed with a fit": ("embed", "{source}", "{out}/f.h5ad", "--min-steps", "2", "--max-steps", "2", "--batch-size", "32"),
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
        scae.tl.fit(anndata.read_h5ad(write_good(folder / "good", ".h5ad", "csr")), plan=QUICK).save(model)
        for case, source, outside in _sources(folder, reduced):
            out = source.parent / "out"
            out.mkdir()
            how, result = children.run(_commands, str(source), str(out), str(model), seconds=_SECONDS * len(_COMMANDS))
            said, peak = result if how == "ended" else ([], 0)
            for command, code, text, seconds in said:
                codes[code], slowest = codes[code] + 1, max(slowest, seconds)
                figure.case(f"{case}, {command}", _judged(command, code, text, seconds, outside))
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


def _judged(command: str, code: int, text: str, seconds: float, outside: bool) -> str | None:
    if code not in _CODES or (outside and code != 5):
        return f"exit code {code}: {text}"
    reported = command == "check" and code == 3  # what it found is on stdout
    if code and not reported and (text.count("\n") != 1 or not text.startswith("scae ")):
        return f"{text.count(chr(10))} lines: {text[:300]}"
    if SECRET.decode() in text:
        return "bytes of another file are in the message"
    return f"took {seconds:.0f} s" if seconds > _SECONDS else None


def _sources(folder: Path, reduced: bool) -> Iterator[tuple[str, Path, bool]]:
    """Each file in a folder of its own, and whether it leads out of it: tricks, then damage to each layout, turn by turn."""
    tricks = list(TRICKS)[:: 4 if reduced else 1]
    for name in tricks:
        (folder / "case").mkdir()
        yield name, TRICKS[name](folder / "case"), True
    turns = [(ending, kind, layout) for ending, kinds in KINDS.items() for kind in kinds for layout in LAYOUTS]
    rng = np.random.default_rng(0)
    for i, (ending, kind, layout) in enumerate(islice(cycle(turns), len(turns) if reduced else 400 - len(tricks))):
        source = write_good(folder / "case", ending, layout)
        KINDS[ending][kind](source, rng)
        yield f"{i}, {layout} {ending}, {kind}", source, kind in OUT
