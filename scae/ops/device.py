"""Device and number of threads: the only code that asks torch for either."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .. import threads
from ..errors import ConfigError


def resolve_device(name: str) -> torch.device:
    """The device of a name: ``"auto"`` for CUDA if available and otherwise the CPU, or any name that torch knows.

    Raises
    ------
    ConfigError
        If this machine does not have the device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as fault:
        first = str(fault).splitlines()[0]
        raise ConfigError(f"device is {name!r}, which this machine does not have ({first}). Use 'cpu' or 'auto'.") from fault
    return device


@contextmanager
def thread_count() -> Iterator[None]:
    """Use the thread count of :func:`scae.threads.use` for kernels and torch within a ``with`` block.

    If none is set, kernels use the number of threads that the scheduler grants and torch uses one. Torch's threads spin while
    they wait for each other: this makes fits 25 times slower on a busy machine, and only a fifth faster on an idle one.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads.asked() or 1)
    try:
        with threads.use(threads.current()):  # ask the scheduler once, not at every kernel
            yield
    finally:
        torch.set_num_threads(before)
