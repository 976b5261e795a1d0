"""SIGKILL at a random moment: a fit goes on with the same bits, and a file is the old one or the new one."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from test_checkpoint import SPECS, Checkpoints
from test_checkpoint import run as fit

from scae.io.modelfile import digest
from scae.plan import TrainPlan

from . import children, writers
from .figure import Figure

_PLAN = TrainPlan(epochs=3, min_steps=100, batch_size=16, held_out=0.2, checks=9)


def figures(*, reduced: bool) -> Iterator[Figure]:
    """One figure for fits, and one per verb that writes."""
    n = 8 if reduced else 100
    with tempfile.TemporaryDirectory() as folder:
        yield _fits(Path(folder), n)
        for name, writer in writers.WRITERS.items():
            yield _writer(Path(folder) / f"for {name}" / name, writer, n)


def _digest(folder: Path) -> str:
    """The weights of a fit that saves a checkpoint after every step."""
    model, _ = fit(SPECS["gaussian"], _PLAN, Checkpoints(folder, seconds=0))
    return digest({name: value.numpy() for name, value in model.state_dict().items()}, "")


def _fits(folder: Path, n: int) -> Figure:
    figure, rng, under_way = Figure("killed fits go on and end with the same bits"), np.random.default_rng(0), 0
    _, expected = children.run(_digest, folder / "whole")
    length = children.length(_digest, folder / "again")  # half of it goes by before the first checkpoint
    for i in range(n):
        here = folder / f"fit {i}"
        how, _ = children.run(_digest, here, kill_after=float(rng.uniform(0, 0.5)) * length, since=here)
        under_way += how == "killed" and here.exists()
        again = children.run(_digest, here)
        figure.case(f"kill {i}", None if again == ("ended", expected) else f"the second run: {again}")
    figure.measured.append(f"{under_way} of the kills came after the first checkpoint and before the end")
    return figure


def _writer(path: Path, writer: writers.Writer, n: int) -> Figure:
    figure, rng, seen = Figure(f"killed while it was to {writer.name}: old or new"), np.random.default_rng(0), Counter[str]()
    path.parent.mkdir()
    children.run(writers.write, path, "new")
    length = children.length(writers.write, path, "new")
    for i in range(n):
        children.run(writers.begin, path)
        how, said = children.run(writers.write, path, "new", kill_after=float(rng.uniform(0, 1.1)) * length)
        state = writers.found(path)
        seen[state] += 1
        fault = None if how in ("killed", "ended") else f"{how}: {said}"
        children.run(writers.write, path, "new")
        if state not in ("old", "new"):
            fault = state
        elif writers.found(path) != "new" or writers.strangers(path):
            fault = f"after the next run: {writers.found(path)}, beside it {writers.strangers(path)}"
        figure.case(f"kill {i}", fault)
    figure.measured.append(", ".join(f"{state} {times}" for state, times in sorted(seen.items())))
    return figure
