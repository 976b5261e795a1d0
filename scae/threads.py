"""How many threads this process may use, and the one way in which kernels use them.

Kernels are compiled without a threading layer of numba's (``parallel=True``): two of its layers abort or oversubscribe
when they meet a second caller or torch's OpenMP. Here a kernel takes ``(start, stop)`` and releases the GIL; a pool of
plain threads gives each a range of rows. A row belongs to one range, so the bits do not depend on the thread count,
and any number of callers may run at once.
"""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from .errors import ConfigError

_SMALL = 1 << 15  # below this much work (elements), waking a thread costs more than it saves
_count: contextvars.ContextVar[int | None] = contextvars.ContextVar("scae_threads", default=None)
_pools: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()


def available() -> int:
    """The number of threads that the scheduler grants: the least of CPU affinity, cgroup quota, SLURM and OpenMP.

    Examples
    --------
    >>> available() >= 1
    True
    """
    limits = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1]
    for name in ("SLURM_CPUS_PER_TASK", "OMP_NUM_THREADS"):
        first = os.environ.get(name, "").split(",")[0].strip()  # OpenMP allows a list, one entry a nesting level
        if first.isdigit() and int(first) > 0:
            limits.append(int(first))
    quota = _cgroup_quota()
    if quota is not None:
        limits.append(quota)
    return max(1, min(limits))


def _cgroup_quota(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int | None:
    """Whole CPUs that cgroup v2 (the process's own group, else the root's) or v1 grants, rounded up; None without a quota."""
    try:
        group = next((line[3:].strip("/") for line in own.read_text().splitlines() if line.startswith("0::")), "")
    except OSError:
        group = ""
    try:
        file = root / group / "cpu.max"
        quota, period = (file if file.is_file() else root / "cpu.max").read_text().split()[:2]
    except (OSError, ValueError):
        try:
            quota = (root / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (root / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None
    return max(1, -(-int(quota) // int(period)))


def current() -> int:
    """The number of threads that kernels use now: what :func:`use` set, else :func:`available`."""
    return _count.get() or available()


def asked() -> int | None:
    """The number that :func:`use` was told, if it was."""
    return _count.get()


@contextmanager
def use(threads: int | None) -> Iterator[int]:
    """Run the kernels of a ``with`` block on so many threads; None leaves it as it is.

    Examples
    --------
    >>> with use(1) as n:
    ...     n
    1
    """
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise ConfigError(f"threads is {threads!r}: give a whole number from 1, or None.")
    token = _count.set(threads or _count.get())
    try:
        yield current()
    finally:
        _count.reset(token)


def run(kernel: Callable[..., object], n: int, *args: object, work: int | None = None) -> None:
    """Call ``kernel(start, stop, *args)`` over ranges that cover ``0…n``, on the current number of threads.

    Parameters
    ----------
    kernel
        A compiled function that releases the GIL, writes only what belongs to its rows and returns nothing.
    n
        The number of rows.
    args
        Handed to the kernel unchanged.
    work
        The number of elements to be touched (default: ``n``); small work stays on the calling thread.
    """
    threads = min(current(), n) if (n if work is None else work) >= _SMALL else 1
    if threads <= 1:
        kernel(0, n, *args)
        return
    cuts = [n * i // threads for i in range(threads + 1)]
    futures = [_pool(threads).submit(kernel, a, b, *args) for a, b in pairwise(cuts[1:])]
    try:
        kernel(cuts[0], cuts[1], *args)  # the calling thread takes the first range
    finally:
        for future in futures:
            future.result()


def _pool(threads: int) -> ThreadPoolExecutor:
    with _lock:
        if threads not in _pools:
            _pools[threads] = ThreadPoolExecutor(threads - 1, thread_name_prefix="scae")
        return _pools[threads]


def _forget_pools() -> None:
    """A forked child has none of its parent's threads: it makes new ones."""
    global _lock
    _lock = threading.Lock()
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pools)
