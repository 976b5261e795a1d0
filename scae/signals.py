"""Signals that ask a process to end: noticed between two steps of work, so that what is done can be saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from .errors import Interrupted

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in dir(signal))


def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (what Python calls a handler with)
    """A handler that raises :class:`~scae.errors.Interrupted`, so that every ``finally`` on the way is carried out."""
    raise Interrupted(number)


@contextmanager
def noticed() -> Iterator[list[int]]:
    """Collect ending signals in a list for a ``with`` block instead of stopping at once; a second one stops at once.

    Handlers that the user installed are left alone, and so is everything outside the main thread, where Python has no signals.

    Yields
    ------
    list of int
        Numbers of the signals received so far.
    """
    received: list[int] = []
    before = {}

    def note(number: int, frame: FrameType | None) -> None:
        if received:
            interrupt(number, frame)
        received.append(number)

    if threading.current_thread() is threading.main_thread():
        for number in ENDING:
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler, interrupt):
                before[number] = signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
