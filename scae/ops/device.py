"""Where tensors are worked on, and by how many threads: the only code that asks torch for either."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .. import threads
from ..errors import ConfigError


def resolve_device(name: str) -> torch.device:
    """``"auto"`` is CUDA where there is one, otherwise the CPU; any other name is torch's.

    Raises
    ------
    ConfigError
        If there is no such device.
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
    """One thread count for kernels and torch in a ``with`` block: the one of :func:`scae.threads.use`.

    Without one, kernels use what the scheduler grants and torch uses one thread. Torch's threads spin while they wait for each
    other; on a machine with other load that made a fit 25 times slower, and on a quiet one they gain a fifth.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads.asked() or 1)
    try:
        with threads.use(threads.current()):  # ask the scheduler once, not at every kernel
            yield
    finally:
        torch.set_num_threads(before)
