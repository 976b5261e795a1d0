"""Damaged h5ad files and zarr stores: each command ends with an exit code of its own and one line, or does its work."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import anndata
import numpy as np

import scae
from scae.cli import main

from .children import GIB, Child, Reply
from .damage import KINDS, LAYOUTS, OUT, write_good
from .figure import Figure
from .models import extremes
from .tricks import SECRET, TRICKS

_CODES = (0, 1, 2, 3, 4, 5)
_STEPS = ["--min-steps", "2", "--max-steps", "2", "--batch-size", "32", "--device", "cpu"]
_TRIED = [(ending, kind, layout) for ending, kinds in KINDS.items() for kind in kinds for layout in LAYOUTS]


def figures(*, reduced: bool) -> Iterator[Figure]:
    figure = Figure("commands on damaged files end with a documented code and one line, in 10 s and 1 GiB, and take nothing along")
    replies, codes = [], dict.fromkeys(_CODES, 0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = _model(folder)
        child = Child(_commands_run, (_commands(folder / "in.h5ad", model, 0),))
        for i, (case, path, out) in enumerate(_cases(folder, reduced)):
            for command in _commands(path, model, i):
                replies.append(child.ask([command]))
                figure.case(f"{command[0]}, {case}", _fault(replies[-1], path, out))
                if not replies[-1].fault:
                    codes[replies[-1].answer[0][0]] += 1
            shutil.rmtree(path.parent)
        child.close()
    figure.measured.append(f"{len(replies) // 3} files; exit codes {', '.join(f'{c}: {n}' for c, n in codes.items() if n)}")
    figure.measured.append(extremes(replies))
    yield figure


def _model(folder: Path) -> Path:
    path = write_good(folder, ".h5ad", "csr")
    plan = scae.TrainPlan(epochs=1, min_steps=2, max_steps=2, batch_size=32)
    scae.tl.fit(anndata.read_h5ad(path), plan=plan, device="cpu").save(folder / "good.scae")
    return folder / "good.scae"


def _cases(folder: Path, reduced: bool) -> Iterator[tuple[str, Path, bool]]:
    """What was done to a file, the file, and whether it leads out of it."""
    tricks = [*TRICKS][:: 4 if reduced else 1]
    for name in tricks:
        (folder / name).mkdir()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the next zarr will write another version
            path = TRICKS[name](folder / name)
        yield name, path, True
    rng = np.random.default_rng(0)
    for i, (ending, kind, layout) in enumerate(islice(cycle(_TRIED), len(_TRIED) if reduced else 400 - len(tricks))):
        case = f"{i}, {layout} {ending}, {kind}"
        (folder / case).mkdir()
        path = write_good(folder / case, ending, layout)
        KINDS[ending][kind](path, rng)
        yield case, path, kind in OUT


def _commands(path: Path, model: Path, i: int) -> list[list[str]]:
    """The three commands; every second embedding fits a model."""
    out = path.parent / "out"
    embed = _STEPS if i % 2 else ["--model", str(model)]
    return [
        ["check", str(path)],
        ["preprocess", str(path), f"{out}-p.h5ad", "--min-genes", "0"],
        ["embed", str(path), f"{out}-e.h5ad", *embed],
    ]


def _commands_run(commands: list[list[str]]) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of each command."""
    ends = []
    for command in commands:
        logging.getLogger().handlers.clear()  # they write to an earlier stderr
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([*command, "--quiet"])
        ends.append((code, out.getvalue(), err.getvalue()))
    return ends


def _fault(reply: Reply, path: Path, out: bool) -> str | None:
    if reply.fault or reply.peak > GIB:
        return reply.fault or f"took {reply.peak / GIB:.1f} GiB"
    code, said, err = reply.answer[0]
    lines = [line for line in err.splitlines() if not line.startswith("warning: ")]
    written = [p for p in path.parent.glob("out-*") if p.is_file()]
    if any(SECRET in data for data in (said.encode(), err.encode(), *(p.read_bytes() for p in written))):
        return "the secret of another file"
    if code not in _CODES or (out and code != 5):
        return f"exit code {code}: {err or said}"
    reported = code == 3 and said and not lines  # check prints what it found
    well = not lines if code == 0 or reported else len(lines) == 1 and lines[0].startswith("scae ")
    return None if well else f"exit code {code}, and said {err!r:.300}"
