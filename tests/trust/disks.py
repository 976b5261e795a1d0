"""A disk that is full after so many bytes: a named error, the old file, and nothing beside it."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from . import children, writers
from .figure import Figure

_SIZE = 64 << 20  # of the small disk, bytes


def figures(*, reduced: bool) -> Iterator[Figure]:
    """Two figures: under a limit on the size of files, and on a small disk of its own."""
    offsets = np.linspace(0, 1, 4 if reduced else 20, endpoint=False)
    with tempfile.TemporaryDirectory() as folder:
        yield _figure("under a limit on the size of a file", Path(folder), offsets, _limited)
    with tempfile.TemporaryDirectory() as folder, _small_disk(Path(folder)) as mounted:
        if mounted:
            yield _figure("on a small disk that is full", Path(folder), offsets, _filled)


def _figure(where: str, folder: Path, offsets: np.ndarray, write: Callable[[Path, int], tuple[str, object]]) -> Figure:
    figure, refused = Figure(f"writing {where}: a named error and the old file, or the new one"), 0
    for name, writer in writers.WRITERS.items():
        path = folder / f"for {name}" / name
        path.parent.mkdir()
        children.run(writers.write, path, "new")
        size = _largest(path) if write is _limited else _bytes(path)
        for offset in offsets:
            children.run(writers.begin, path)
            how, said = write(path, int(offset * size))
            refused += how == "OutputError"
            figure.case(f"{writer.name}, {offset:.0%} of {size} bytes", _judged(path, how, said))
        children.run(writers.write, path, "new")
    figure.measured.append(f"{refused} refused as OutputError")
    return figure


def _judged(path: Path, how: str, said: object) -> str | None:
    state = writers.found(path)
    if how not in ("OutputError", "ended"):
        return f"{how}: {said}"
    if state != ("new" if how == "ended" else "old"):
        return f"{how}, but the file is {state}"
    return f"left behind: {writers.strangers(path)}" if writers.strangers(path) else None


def _parts(path: Path) -> list[int]:
    return [file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()]


def _largest(path: Path) -> int:
    return max(_parts(path))


def _bytes(path: Path) -> int:
    return sum(-(-size // 4096) * 4096 for size in _parts(path)) // (2 if path.name == "steps" else 1)


def _write_limited(path: Path, limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    writers.write(path, "new")


def _limited(path: Path, limit: int) -> tuple[str, object]:
    return children.run(_write_limited, path, limit)


def _filled(path: Path, free: int) -> tuple[str, object]:
    """Write where only so many bytes are free."""
    filler = path.parent.parent / "filler"
    with filler.open("wb") as file:
        room = os.statvfs(filler)
        os.posix_fallocate(file.fileno(), 0, max(room.f_bavail * room.f_bsize - free, 1))
    try:
        return children.run(writers.write, path, "new")
    finally:
        filler.unlink()


@contextmanager
def _small_disk(folder: Path) -> Iterator[bool]:
    """A disk in memory at a folder; False where this user may not mount one."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(folder)], capture_output=True, check=False)
    try:
        yield done.returncode == 0
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "-l", str(folder)], check=False)
