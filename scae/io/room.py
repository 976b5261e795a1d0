"""How much memory and disk there is, so that work whose result would not fit is refused before it begins."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..errors import ConfigError


def in_words(n_bytes: float) -> str:
    """A size with the unit that suits it.

    Examples
    --------
    >>> in_words(2_345_678_901), in_words(512)
    ('2.3 GB', '512 bytes')
    """
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= size:
            return f"{n_bytes / size:,.1f} {unit}"
    return f"{n_bytes:.0f} bytes"


def disk_free(folder: Path) -> int | None:
    """Bytes free for this user in the file system of a folder; None where that is not known.

    Examples
    --------
    >>> disk_free(Path(".")) >= 0
    True
    """
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def memory_available(
    meminfo: Path = Path("/proc/meminfo"), cgroups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> int | None:
    """Bytes of memory that a process can still take without swapping, or what its job may take in all if that is less.

    None where that is not known, as on other systems than Linux.

    Examples
    --------
    >>> available = memory_available()
    >>> available is None or available > 0
    True
    """
    try:
        line = next(line for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable:"))
        return min([int(line.split()[1]) * 1024, *_limits(cgroups, own)])
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def require_memory(need: int, what: str, instead: str) -> None:
    """Refuse, before the work, what does not fit into memory, where that is known.

    Parameters
    ----------
    need
        Bytes.
    what
        What takes them, as the subject of a sentence.
    instead
        What to do, a sentence.

    Raises
    ------
    ConfigError
        If it is larger than the memory available.

    Examples
    --------
    >>> require_memory(1, "a byte", "Do without.")
    """
    there = memory_available()
    if there is not None and need > there:
        raise ConfigError(f"{what} takes {in_words(need)} of memory, and {in_words(there)} are available. {instead}")


def _limits(cgroups: Path, own: Path) -> list[int]:
    """The memory limits of this process's control group and of those around it, which a scheduler or container sets."""
    limits = []
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        return []
    for _, controllers, group in (line for line in lines if len(line) == 3):
        if controllers and "memory" not in controllers.split(","):
            continue
        root, name = (cgroups / "memory", "memory.limit_in_bytes") if controllers else (cgroups, "memory.max")
        inner = root / group.strip("/")
        for folder in (inner, *inner.parents):
            if folder.is_relative_to(root) and (folder / name).is_file():
                limit = (folder / name).read_text().strip()
                limits += [int(limit)] if limit.isdigit() else []
    return limits
