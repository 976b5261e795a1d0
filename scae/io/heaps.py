"""Refuse HDF5 files that HDF5 itself would read for ever."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from ..errors import ModelFileError
from .sizes import ASK

_MARK = b"GCOL\x01\0\0\0"  # how a heap of texts begins: its size, 8 bytes, and then objects
_OBJECT = struct.Struct("<H6xQ")  # its number and size, before its bytes; number 0 is free space, whose size has the header in it


def refuse_endless(path: str | Path) -> None:
    """Refuse an HDF5 file with a heap that HDF5 would read for ever, because its free space has size zero.

    Parameters
    ----------
    path : str or Path
        The file; all of it is searched.

    Raises
    ------
    ModelFileError
        If there is such a heap.

    Examples
    --------
    >>> import h5py, tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.h5"
    >>> with h5py.File(path, "w") as file:
    ...     file["x"] = ["text"]
    >>> refuse_endless(path)
    """
    if Path(path).stat().st_size == 0:  # which cannot be mapped
        return
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = data.find(_MARK)
        while start >= 0:
            if _endless(data, start):
                raise ModelFileError(f"{path} is damaged: its heap of texts at byte {start} has no end. {ASK}")
            start = data.find(_MARK, start + len(_MARK))


def _endless(data: mmap.mmap, start: int) -> bool:
    """Go over the objects as HDF5 does."""
    size, here = int.from_bytes(data[start + 8 : start + 16], "little"), start + 16
    end = min(start + size, len(data))
    while here + _OBJECT.size <= end:
        number, length = _OBJECT.unpack_from(data, here)
        step = _OBJECT.size + (length + 7) // 8 * 8 if number else length
        if step == 0:
            return True
        here += step
    return False
