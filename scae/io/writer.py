"""The one way in which scae writes files: a file or folder is either complete or not changed at all."""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import OutputError

_STORE_MARKS = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")  # what makes a folder a zarr store


def check_output(path: str | Path, *, folder: bool = False) -> Path:
    """The place that writing to a path would replace, after checking that it can be; nothing is changed.

    A symbolic link is followed: what it points to is replaced, not the link.

    Parameters
    ----------
    path : str or Path
        Where the output goes.
    folder : bool
        The output is a folder (a zarr store) rather than a file.

    Returns
    -------
    Path
        The target.

    Raises
    ------
    OutputError
        If the folder around it does not exist or is not writable, or if something of another kind is there: a folder, a device, a
        named pipe or a socket where a file goes, or a file or any folder but a zarr store where a zarr store goes.
    """
    target = Path(os.path.realpath(path))
    if not target.parent.is_dir():
        raise OutputError(f"cannot write {path}: there is no folder {target.parent}. Create it first.")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write {path}: the folder {target.parent} is not writable. Choose another, or change its mode.")
    if not target.exists():
        return target
    if folder and not (target.is_dir() and any((target / mark).is_file() for mark in _STORE_MARKS)):
        raise OutputError(f"cannot write {path}: it exists and is not a zarr store. Choose another name; nothing was changed.")
    if not folder and not target.is_file():
        kind = "a folder" if target.is_dir() else "not an ordinary file"
        raise OutputError(f"cannot write {path}: it is {kind}. Choose another name; nothing was changed.")
    return target


@contextmanager
def replacing(path: str | Path, *, folder: bool = False) -> Iterator[Path]:
    """Give a ``with`` block a temporary path; if the block succeeds, what it wrote there replaces ``path``.

    The temporary file is in the same folder, and reaches the disk before it replaces the old one. Mode and owner of the old file
    are kept. After an error the temporary file is deleted and ``path`` is not changed. Temporary files of processes that were
    killed are deleted at the next write to the same path.

    Parameters
    ----------
    path : str or Path
        What to write.
    folder : bool
        The block makes a folder (a zarr store) rather than a file.

    Yields
    ------
    Path
        Where to write, with the same ending: an empty file, or a folder that does not exist yet.

    Raises
    ------
    OutputError
        As :func:`check_output`; and if the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with replacing(target) as temporary:
    ...     n = temporary.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    target = check_output(path, folder=folder)
    _clean(target)
    temporary = target.with_name(f"{_prefix(target)}{os.getpid()}.{secrets.token_hex(4)}{target.suffix}")
    try:
        if not folder:
            temporary.touch()
        mode = temporary.stat().st_mode if not folder else None  # that of any new file here
        yield temporary
        for file in sorted(temporary.rglob("*")) if folder else [temporary]:
            _to_disk(file)
        _like(temporary, target, mode)
        _replace(temporary, target)
        _to_disk(target.parent)
    except OSError as fault:
        if isinstance(fault, OutputError) or fault.errno is None:
            raise
        raise OutputError(f"cannot write {path}: {fault.strerror}. What was there before is unchanged.") from fault
    finally:
        _remove(temporary)


def _prefix(target: Path) -> str:
    """How the names of temporary files begin; they say on which machine they were made."""
    return f".{target.name}.{platform.node()}."


def _clean(target: Path) -> None:
    """Delete what killed processes of this machine left, and put back an old folder that was moved away but not replaced."""
    for left in target.parent.glob(f"{_prefix(target)}*"):
        owner = left.name.removeprefix(_prefix(target)).split(".")[0]
        if owner.isdigit() and not _alive(int(owner)):
            if left.name.endswith(".old") and not target.exists():
                left.rename(target)
            _remove(left)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    if path.is_symlink():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _like(new: Path, old: Path, mode: int | None) -> None:
    """Give a new file the mode and owner of the one it replaces; if there is none, the mode of any new file."""
    if not old.exists():
        if mode is not None:  # some libraries make private files
            os.chmod(new, stat.S_IMODE(mode))
        return
    status = old.stat()
    os.chmod(new, stat.S_IMODE(status.st_mode))
    if (status.st_uid, status.st_gid) != (os.getuid(), os.getgid()):
        with contextlib.suppress(PermissionError):  # only root may give files away
            os.chown(new, status.st_uid, status.st_gid)


def _replace(new: Path, target: Path) -> None:
    if not target.is_dir():
        os.replace(new, target)
        return
    old = new.with_name(f"{new.name}.old")  # no call replaces a folder that is not empty
    os.rename(target, old)
    try:
        os.rename(new, target)
    except OSError:
        os.rename(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        for _ in range(100):  # after an error, threads of zarr may still write into it
            shutil.rmtree(path, ignore_errors=True)
            time.sleep(0.05)
            if not path.exists():
                break
    else:
        path.unlink(missing_ok=True)
