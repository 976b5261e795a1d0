"""The number of threads that this process may use, and a function that runs kernels on them.

Kernels do not use the threading layers of numba (``parallel=True``), because two of these layers abort or start too many threads
if they are called from several threads or together with the OpenMP of torch. Instead, a kernel takes ``(start, stop)`` and
releases the GIL, and each thread of an ordinary thread pool processes one range of rows. Each row belongs to exactly one range.
The results therefore do not depend on the number of threads, down to the last bit. Any number of callers can run kernels at the
same time.
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

_SMALL = 1 << 15  # elements; with less work, starting a thread takes longer than it saves
_count: contextvars.ContextVar[int | None] = contextvars.ContextVar("scae_threads", default=None)
_pools: dict[int, ThreadPoolExecutor] = {}
_lock = threading.Lock()


def available() -> int:
    """Return the number of threads that this process may use.

    This is the smallest of the limits set by CPU affinity, the cgroup quota, SLURM (``SLURM_CPUS_PER_TASK``) and OpenMP
    (``OMP_NUM_THREADS``), and at least 1.

    Returns
    -------
    int

    Examples
    --------
    >>> available() >= 1
    True
    """
    limits = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1]
    for name in ("SLURM_CPUS_PER_TASK", "OMP_NUM_THREADS"):
        value = os.environ.get(name, "").split(",")[0].strip()  # OpenMP allows a list, one entry per nesting level
        if value.isdigit() and int(value) > 0:
            limits.append(int(value))
    quota = _cgroup_quota()
    if quota is not None:
        limits.append(quota)
    return max(1, min(limits))


def _cgroup_quota(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int | None:
    """Return the CPU quota of the cgroup, rounded up to whole CPUs; None without a quota.

    For cgroup v2, the quota of the group of this process is used, or else that of the root; then the quota of cgroup v1 is tried.
    """
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
    """Return the number of threads that kernels use now: the number set by :func:`use`, or else :func:`available`.

    Returns
    -------
    int

    Examples
    --------
    >>> with use(1):
    ...     current()
    1
    """
    return _count.get() or available()


def asked() -> int | None:
    """Return the number of threads set by :func:`use`, or None if it is not set.

    Returns
    -------
    int or None

    Examples
    --------
    >>> with use(1):
    ...     asked()
    1
    """
    return _count.get()


@contextmanager
def use(threads: int | None) -> Iterator[int]:
    """Set the number of threads for the kernels in a ``with`` block.

    Parameters
    ----------
    threads : int or None
        Number of threads, at least 1. None does not change the number.

    Yields
    ------
    int
        Number of threads in the block.

    Raises
    ------
    ConfigError
        If ``threads`` is neither None nor a whole number of at least 1.

    Examples
    --------
    >>> with use(1) as n:
    ...     n
    1
    """
    if threads is not None and (not isinstance(threads, int) or threads < 1):
        raise ConfigError(f"threads is {threads!r}. Give a whole number of at least 1, or None.")
    token = _count.set(threads or _count.get())
    try:
        yield current()
    finally:
        _count.reset(token)


def run(kernel: Callable[..., object], n: int, *args: object, work: int | None = None) -> None:
    """Call ``kernel(start, stop, *args)`` for consecutive ranges of the rows ``0…n-1``, one range per thread.

    Parameters
    ----------
    kernel : callable
        Function that releases the GIL and writes only the results of its own rows. Its return value is ignored.
    n : int
        Number of rows.
    *args
        Further arguments of the kernel.
    work : int, optional
        Number of elements to process; ``n`` by default. If it is small, the calling thread does all the work.

    Examples
    --------
    >>> import numpy as np
    >>> squares = np.zeros(3)
    >>> def kernel(start, stop, x):
    ...     squares[start:stop] = x[start:stop] ** 2
    >>> run(kernel, 3, np.arange(3.0))
    >>> squares
    array([0., 1., 4.])
    """
    threads = min(current(), n) if (n if work is None else work) >= _SMALL else 1
    if threads <= 1:
        kernel(0, n, *args)
        return
    cuts = [n * i // threads for i in range(threads + 1)]
    futures = [_pool(threads).submit(kernel, a, b, *args) for a, b in pairwise(cuts[1:])]
    try:
        kernel(cuts[0], cuts[1], *args)  # the calling thread processes the first range
    finally:
        for future in futures:
            future.result()


def _pool(threads: int) -> ThreadPoolExecutor:
    """Return the pool that, with the calling thread, has this number of threads."""
    with _lock:
        if threads not in _pools:
            _pools[threads] = ThreadPoolExecutor(threads - 1, thread_name_prefix="scae")
        return _pools[threads]


def _forget_pools() -> None:
    """Discard all pools in a forked child process, which does not have the threads of its parent."""
    global _lock
    _lock = threading.Lock()
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pools)
