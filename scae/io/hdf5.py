"""Write HDF5 files so that a full disk is an error, not a crash.

HDF5 cannot recover from a write that fails: it tries again when the file is closed and when the process ends, and crashes. Here
it writes through a file object that never fails. The first fault is remembered; what HDF5 writes after it goes to memory, so that
it can close the file; then the fault is raised.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

_DROPPED = 1 << 16  # bytes; larger writes after a fault are data, which HDF5 never reads back, and are dropped


class _Unfailing(io.RawIOBase):
    """A file object for HDF5 that remembers the first fault of the file behind it."""

    def __init__(self, file: io.RawIOBase) -> None:
        self.file = file
        self.fault: OSError | None = None
        self.place, self.end = 0, 0
        self.after_fault: list[tuple[int, bytes]] = []

    def seek(self, offset: int, whence: int = 0) -> int:
        self.place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.end}[whence]
        return self.place

    def tell(self) -> int:
        return self.place

    def write(self, data: Any) -> int:
        size, view = len(data), memoryview(data)
        if self.fault is None:
            try:
                self.file.seek(self.place)
                while view:
                    view = view[self.file.write(view) :]
            except OSError as fault:
                self.fault = fault
        if self.fault is not None and size < _DROPPED:
            self.after_fault.append((self.place, bytes(data)))
        self.place += size
        self.end = max(self.end, self.place)
        return size

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        view[:] = bytes(len(view))
        self.file.seek(self.place)
        self.file.readinto(view)
        for start, data in self.after_fault:
            first, last = max(start, self.place), min(start + len(data), self.place + len(view))
            if first < last:
                view[first - self.place : last - self.place] = data[first - start : last - start]
        self.place += len(view)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        self.end = self.place if size is None else size
        if self.fault is None:
            try:
                self.file.truncate(self.end)
            except OSError as fault:
                self.fault = fault
        return self.end

    def raise_fault(self) -> None:
        """Raise the fault, if there was one."""
        if self.fault is not None:
            raise self.fault


@contextmanager
def writing(path: Path) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """Open a new HDF5 file for a ``with`` block.

    Parameters
    ----------
    path : Path
        File to write; an existing one is overwritten.

    Yields
    ------
    h5py.File
        The file.
    callable
        Raises the fault of an earlier write, if there was one; call it between large writes to stop early.

    Raises
    ------
    OSError
        If the disk is full or the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.h5"
    >>> with writing(path) as (file, check):
    ...     file["x"] = [1, 2, 3]
    >>> with h5py.File(path) as file:
    ...     file["x"][1].item()
    2
    """
    with open(path, "w+b", buffering=0) as raw:
        unfailing = _Unfailing(raw)
        with h5py.File(unfailing, "w") as file:
            yield file, unfailing.raise_fault
        unfailing.raise_fault()
