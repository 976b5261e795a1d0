"""Processes that may crash, hang or be killed: forked from one that has imported everything, so that a thousand take minutes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import anndata  # noqa: F401 (these imports are what the children need not do again)
import torch
import zarr  # noqa: F401
from helpers import PEAK

import scae.cli.applying
import scae.cli.check
import scae.cli.embed
import scae.cli.preprocess

GIB = 1 << 30
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


def fork(work: Callable[..., None], *args: Any) -> tuple[Any, Connection]:
    """A child that does ``work(pipe, *args)``, and the other end of its pipe."""
    here, there = _FORKS.Pipe()
    process = _FORKS.Process(target=_begin, args=(work, there, *args), daemon=True)
    process.start()
    there.close()  # so that its end is an end of file here
    return process, here


def _begin(work: Callable[..., None], pipe: Connection, *args: Any) -> None:
    torch.set_num_threads(1)
    work(pipe, *args)


def ending(process: Any) -> str | None:
    """How a child ended, once it has: None if well."""
    process.join()
    code = process.exitcode
    return None if code == 0 else f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"


@dataclass
class Reply:
    """What a child said to a question.

    Attributes
    ----------
    answer
        What the function returned.
    fault
        What went wrong: a foreign exception, a signal, or no answer in time.
    seconds
        Time that it took.
    peak
        Largest memory meanwhile, bytes.
    """

    answer: Any = None
    fault: str | None = None
    seconds: float = 0.0
    peak: int = 0


class Child:
    """A process that answers one question at a time; another takes its place when it dies or is silent for too long.

    Parameters
    ----------
    answer
        The function that answers.
    first
        A question whose answer may take long, because it loads what all others need.
    seconds
        Time for every other answer.
    """

    def __init__(self, answer: Callable[..., Any], first: tuple = (), seconds: float = 10.0) -> None:
        self.answer, self.first, self.seconds = answer, first, seconds
        self.process: Any = None

    def ask(self, *question: Any) -> Reply:
        """The reply to one question."""
        if self.process is None:
            self.process, self.pipe = fork(_serve, self.answer)
            first = self._ask(self.first, 600)
            assert first.fault is None, first.fault
        return self._ask(question, self.seconds)

    def _ask(self, question: tuple, seconds: float) -> Reply:
        start = time.perf_counter()
        try:
            self.pipe.send(question)
            if self.pipe.poll(seconds):
                answer, fault, peak = self.pipe.recv()
                return Reply(answer, fault, time.perf_counter() - start, peak)
            fault = f"no answer in {seconds:g} s"
        except (EOFError, ConnectionError):
            fault = ending(self.process) or "ended without an answer"
        self.close()
        return Reply(None, fault, time.perf_counter() - start)

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None


def _serve(pipe: Connection, answer: Callable[..., Any]) -> None:
    with contextlib.suppress(EOFError):
        while True:
            question, value, fault = pipe.recv(), None, None
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
            try:
                value = answer(*question)
            except BaseException as error:
                fault = f"FOREIGN {type(error).__name__}: {error}"
            pipe.send((value, fault, eval(PEAK)))


def silent() -> None:
    """Send what this process says to nowhere."""
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (until the process ends)
