"""Run a function in a process of its own, which may be killed; the libraries are loaded once."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["scae.cli", "scae.tl", "scae.pp", "anndata", "zarr", "test_checkpoint"])


def _run(connection: Connection, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    connection.send("started")
    try:
        connection.send(("ended", function(*args)))
    except BaseException as fault:  # whatever it is, the parent judges it
        connection.send((type(fault).__name__, str(fault)))


def run(
    function: Callable[..., Any], *args: Any, kill_after: float | None = None, since: Path | None = None, seconds: float = 60.0
) -> tuple[str, Any]:
    """What became of a call in a child: how it ended, and what it returned or said.

    Parameters
    ----------
    function, args
        What to call; a function at the top of a module.
    kill_after
        Kill the child with SIGKILL after this time, seconds from its start.
    since
        Count that time from when this file or folder is there.
    seconds
        Longest time to wait.

    Returns
    -------
    tuple
        ``("ended", result)``, the class and message of an exception, ``("killed", None)`` where that was asked for, or
        ``("signal", name)`` or ``("hang", None)``.
    """
    ours, theirs = _context.Pipe()
    child = _context.Process(target=_run, args=(theirs, function, args))
    child.start()
    theirs.close()
    try:
        ours.recv()  # it has started
        while since is not None and not since.exists() and not ours.poll(0.001):
            pass
        if ours.poll(seconds if kill_after is None else kill_after):
            return ours.recv()
        child.kill()
        return ("hang" if kill_after is None else "killed"), None
    except EOFError:
        child.join()
        return "signal", signal.Signals(-child.exitcode).name if (child.exitcode or 0) < 0 else f"exit {child.exitcode}"
    finally:
        child.join()


def length(function: Callable[..., Any], *args: Any) -> float:
    """Seconds that a call takes in a child, from its start to its end; it must end well."""
    how, seconds = run(_timed, function, args)
    assert how == "ended", seconds
    return float(seconds)


def _timed(function: Callable[..., Any], args: tuple[Any, ...]) -> float:
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start
