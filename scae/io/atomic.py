"""Write files atomically: a file is either complete or not changed at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a ``with`` block a temporary path; if the block succeeds, the temporary file replaces ``path``.

    The temporary file is in the same folder. If the block raises an error, it is deleted, and ``path`` is not changed.

    Parameters
    ----------
    path : Path
        File to write.

    Yields
    ------
    Path
        Temporary file with the same ending, to be written in the block.

    Examples
    --------
    >>> target = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with replacing(target) as temporary:
    ...     n = temporary.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)  # mkstemp creates private files; use the permissions of ordinary ones
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
