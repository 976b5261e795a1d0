"""Cases, a sample of them, and a process of their own in which one that crashes fails alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from helpers import ROOT

SECONDS = 120  # after which a case that still runs is ended


@dataclass(frozen=True)
class Case:
    """One thing to try.

    Attributes
    ----------
    group
        The promise that it is about.
    traits
        What is tried, on what and where, e.g. the fault, the kind of matrix and the verb.
    run
        Try it; says what went wrong, None if nothing did.
    """

    group: str
    traits: tuple[str, ...]
    run: Callable[[], str | None]

    @property
    def name(self) -> str:
        """The traits in one line."""
        return ", ".join(self.traits)


def sample(cases: Sequence[Case], more: int = 0) -> list[Case]:
    """Cases in which each trait of each group is met, and some more; the same ones each time, in their order."""
    seen, chosen = set(), []
    for i in np.random.default_rng(0).permutation(len(cases)):
        traits = {(cases[i].group, place, trait) for place, trait in enumerate(cases[i].traits)}
        if traits - seen or more > 0:
            more -= not traits - seen
            seen |= traits
            chosen.append(i)
    return [cases[i] for i in sorted(chosen)]


def serve(cases: Sequence[Case]) -> None:
    """Run the cases from the one whose number is the last argument; say the name of each before, and its fault after."""
    out = os.fdopen(os.dup(1), "w")
    sys.stdout = sys.stderr
    for case in cases[int(sys.argv[-1]) :]:
        print(json.dumps([case.group, case.name]), file=out, flush=True)
        signal.alarm(SECONDS)
        fault = case.run()
        signal.alarm(0)
        print(json.dumps(fault), file=out, flush=True)


def apart(module: str, *words: str) -> Iterator[tuple[str, str, str | None]]:
    """Group, name and fault of each case that a module serves; a process that crashes is followed by another.

    Raises
    ------
    RuntimeError
        If a process ends in an error outside of the cases.
    """
    number, crashed = 0, True
    while crashed:
        command, crashed = [sys.executable, "-m", module, *words, str(number)], False
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
            while line := child.stdout.readline():
                number += 1
                said = child.stdout.readline()
                crashed = not said
                yield *json.loads(line), f"ended the process with {child.wait()}" if crashed else json.loads(said)
        if child.returncode and not crashed:
            raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}.")
