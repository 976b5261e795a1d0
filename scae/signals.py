"""Signals that ask a process to end: noticed between two steps of work, so that what is done can be saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from .errors import Interrupted

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in dir(signal))


def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (what Python calls a handler with)
    """A handler that raises :class:`~scae.errors.Interrupted`, so that every ``finally`` on the way is carried out."""
    raise Interrupted(number)


@contextmanager
def interrupting() -> Iterator[None]:
    """Let ending signals raise :class:`~scae.errors.Interrupted` in a ``with`` block, instead of ending the process at once."""
    with _handled(interrupt, (signal.SIG_DFL, signal.default_int_handler)):
        yield


@contextmanager
def noticed() -> Iterator[list[int]]:
    """Collect ending signals in a list for a ``with`` block instead of stopping at once; a second one stops at once.

    Yields
    ------
    list of int
        Numbers of the signals received so far.
    """
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if received:
            interrupt(number, frame)
        received.append(number)

    with _handled(note, (signal.SIG_DFL, signal.default_int_handler, interrupt)):
        yield received


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None], instead_of: tuple[Any, ...]) -> Iterator[None]:
    """Install a handler, but leave alone those of the user, and other threads than the main one, where Python has no signals."""
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in ENDING:
            if signal.getsignal(number) in instead_of:
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
