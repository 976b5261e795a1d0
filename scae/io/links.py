"""Refuse h5ad files and zarr stores that reach outside themselves, or that declare far more than they hold.

HDF5 follows links to other files, and reads raw data from wherever a dataset says it is. A file from a stranger could thus put
parts of other files of this machine into a result. And an empty dataset takes no room in a file, whatever its shape.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5py

from ..errors import ModelFileError
from . import kinds
from .heaps import refuse_endless
from .sizes import ASK, FREE, RATIO, Allowance, check_pointers, check_sparse, declared, sparse_format

_DEPTH = 64  # groups within groups
_LINK = "Copy what it links to into the file, or ask for such a file."


@contextmanager
def opened(path: str | Path, *, loaded: bool = True, allow_links: bool = False) -> Iterator[Any]:
    """Open the root group of an h5ad file or a zarr store for reading, once it is known to be harmless.

    Parameters
    ----------
    path : str or Path
        The file, or the folder of a store.
    loaded : bool
        It will be in memory as a whole; otherwise matrices are read block by block.
    allow_links : bool
        Follow links to other files, and trust what the file declares.

    Yields
    ------
    h5py or zarr group
        The root.

    Raises
    ------
    ModelFileError
        As :func:`refuse_links`, :func:`scae.io.heaps.refuse_endless` and :func:`scae.io.kinds.refuse`; if it is truncated; or if
        it is a device or a named pipe, which might never open.
    """
    place = Path(path)
    folder = place.is_dir()
    if not (folder or place.is_file()):
        raise ModelFileError(f"{path} is not an ordinary file. Name an h5ad file, or a zarr store.")
    if not (folder or allow_links):
        refuse_endless(place)
    kinds.refuse(path)
    with ExitStack() as stack:
        try:
            if folder:
                import zarr

                size = 0 if allow_links else refuse_store_links(place)
                root = zarr.open_group(place, mode="r")
                if not allow_links:
                    refuse_large(root, Allowance(size, loaded))
            else:
                root = stack.enter_context(h5py.File(place, "r"))
                if not allow_links:
                    refuse_links(root, loaded=loaded)
        except ModelFileError as fault:
            raise ModelFileError(f"{path}: {fault}") from fault
        except Exception as fault:  # h5py and zarr each raise their own
            kind, reason = "zarr store" if folder else "h5ad file", (str(fault) or type(fault).__name__).splitlines()[0]
            raise ModelFileError(f"{path} cannot be read ({reason}). It must be a whole {kind}.") from fault
        yield root


def refuse_links(file: h5py.File, *, loaded: bool = True) -> None:
    """Refuse an HDF5 file that reaches into other files, or that declares far more than it holds.

    Nothing outside the file is opened, and no values are read.

    Parameters
    ----------
    file : h5py.File
        File that is open for reading.
    loaded : bool
        The file will be in memory as a whole; otherwise matrices are read block by block.

    Raises
    ------
    ModelFileError
        If there is an external link, a virtual dataset, or a dataset whose values are in another file; if groups contain
        themselves; if what is declared is more than 64 MiB and 1,000 times the size of the file, or does not fit into memory.

    Examples
    --------
    >>> import tempfile
    >>> with h5py.File(Path(tempfile.mkdtemp()) / "a.h5", "w") as file:  # doctest: +ELLIPSIS
    ...     file["passwords"] = h5py.ExternalLink("/etc/passwd", "/")
    ...     refuse_links(file)
    Traceback (most recent call last):
        ...
    scae.errors.ModelFileError: /passwords is a link to another file ('/etc/passwd'). Copy what it links to ...
    """
    try:
        _Walk(None).group(file, "", 0)  # without soft links, which may lead through links that were not seen yet
        _Walk(Allowance(os.path.getsize(file.filename), loaded)).group(file, "", 0)
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as fault:  # h5py's own, for damaged files
        if isinstance(fault, ModelFileError):
            raise
        raise ModelFileError(f"{file.filename} is damaged ({str(fault).splitlines()[0]}). {ASK}") from fault


class _Walk:
    """One pass over all objects; with an allowance also through soft links, as a reader would go."""

    def __init__(self, allowance: Allowance | None) -> None:
        self.allowance = allowance
        self.seen: set[int] = set()
        self.above: list[int] = []

    def group(self, group: h5py.Group, place: str, depth: int) -> None:
        """Look at all that is in a group."""
        address = h5py.h5o.get_info(group.id).addr
        if address in self.above or depth > _DEPTH:
            raise ModelFileError(f"{place[:200]}: groups contain themselves, or are more than {_DEPTH} deep. {ASK}")
        if self.allowance is None and address in self.seen:
            return
        self.seen.add(address)
        self.above.append(address)
        if self.allowance is not None:
            self.allowance.charge(place or "/", 0)
        for name in group:
            self.link(group, name, f"{place}/{name}", depth)
        self.above.pop()
        layout = sparse_format(group.attrs) if self.allowance is not None else None
        if self.allowance is not None and layout:
            check_sparse(group, place, layout)
            if not self.allowance.loaded:  # what reads a matrix block by block relies on them
                check_pointers(group["indptr"][:], len(group["data"]), place)

    def link(self, group: h5py.Group, name: str, place: str, depth: int) -> None:
        """Look at what a name stands for, without going outside the file."""
        try:
            kind = group.get(name, getlink=True)
        except TypeError:  # a link that only some plug-in understands
            raise ModelFileError(f"{place} is a link of an unknown kind. {_LINK}") from None
        if isinstance(kind, h5py.ExternalLink):
            raise ModelFileError(f"{place} is a link to another file ({kind.filename!r}). {_LINK}")
        if isinstance(kind, h5py.SoftLink) and (self.allowance is None or name not in group):  # not yet, or to nothing
            return
        found = group[name]
        if isinstance(found, h5py.Group):
            self.group(found, place, depth + 1)
        elif isinstance(found, h5py.Dataset):
            _check_dataset(found, place)
            if self.allowance is not None:
                self.allowance.charge(place, declared(found))


def _check_dataset(data: h5py.Dataset, place: str) -> None:
    layout = data.id.get_create_plist()
    if layout.get_layout() == h5py.h5d.VIRTUAL:
        raise ModelFileError(f"{place} is a virtual dataset, whose values are in other files. {_LINK}")
    if layout.get_external_count():
        other = os.fsdecode(layout.get_external(0)[0])
        raise ModelFileError(f"{place} has its values in another file ({other!r}). {_LINK}")


# ---- zarr


def refuse_store_links(path: str | Path) -> int:
    """Refuse a zarr store with symbolic links that lead out of it, or with anything but ordinary files and folders.

    Parameters
    ----------
    path : str or Path
        The store; a link to it may be followed.

    Returns
    -------
    int
        Size of all files, bytes.

    Raises
    ------
    ModelFileError
        If there is such a link or file.

    Examples
    --------
    >>> import tempfile
    >>> store = Path(tempfile.mkdtemp())
    >>> (store / "0").symlink_to("/etc/passwd")
    >>> refuse_store_links(store)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    scae.errors.ModelFileError: 0 is a link out of the store ('/etc/passwd'). Copy what it links to ...
    """
    root, size = Path(path).resolve(), 0
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            file = Path(folder) / name
            where = file.relative_to(root)
            target = file
            if file.is_symlink():
                target = Path(os.path.realpath(file))
                if not target.is_relative_to(root):
                    raise ModelFileError(f"{where} is a link out of the store ({os.readlink(file)!r}). {_LINK}")
                if file.is_dir():
                    raise ModelFileError(f"{where} is a link to a folder. {_LINK}")
            if target.exists() and not (target.is_file() or target.is_dir()):
                raise ModelFileError(f"{where} is not an ordinary file. {ASK}")
            size += target.stat().st_size if target.is_file() else 0
    return size


def _check_blosc(folder: Path, place: str) -> None:
    """Refuse chunks whose header declares a size that they do not have: Blosc would believe it and read past the end."""
    for file in folder.rglob("*"):
        if file.name.startswith((".", "zarr.json")) or not file.is_file():
            continue
        size = file.stat().st_size
        with file.open("rb") as chunk:
            header = chunk.read(16)
        values, stored = int.from_bytes(header[4:8], "little"), int.from_bytes(header[12:16], "little")
        if len(header) < 16 or stored != size or values > max(FREE, RATIO * size):
            raise ModelFileError(f"/{place}: {file.name} is {size} bytes, and declares {stored} that hold {values}. {ASK}")


def _check_texts(folder: Path, place: str, array: Any) -> None:
    """Refuse chunks of strings that declare more than the array holds: memory for all is taken before any is read."""
    for file in folder.iterdir():
        if file.name.startswith(".") or not file.is_file():
            continue
        data = file.read_bytes()
        for codec in reversed(array.compressors):
            data = codec.decode(data)
        count = int.from_bytes(bytes(data[:4]), "little")
        if count > math.prod(array.chunks):
            raise ModelFileError(f"/{place}: {file.name} declares {count} texts; allowed: {math.prod(array.chunks)}. {ASK}")


def refuse_large(root: Any, allowance: Allowance) -> None:
    """Refuse a zarr group whose arrays, or chunks, declare far more than the store holds.

    Parameters
    ----------
    root : zarr group
        The open store.
    allowance : Allowance
        How much it may declare.

    Raises
    ------
    ModelFileError
        If it is more.
    """
    items = list(root.members(max_depth=None))
    for place, item in items:
        if not hasattr(item, "shape"):
            continue
        fill = item.metadata.fill_value
        each = max(item.dtype.itemsize, 8) + (len(fill) if isinstance(fill, str | bytes) else 0)
        chunk = getattr(item, "shards", None) or item.chunks  # what is read at once, even where the array is smaller
        allowance.charge(f"/{place}", each * max(math.prod(item.shape), math.prod(chunk) if math.prod(item.shape) else 0))
        if chunk == item.chunks and any("blosc" in type(codec).__name__.lower() for codec in item.compressors):
            _check_blosc(Path(item.store_path.store.root) / item.path, place)
            if any(type(codec).__name__.startswith("VLen") for codec in item.filters):
                _check_texts(Path(item.store_path.store.root) / item.path, place, item)
    for place, item in items:
        layout = None if hasattr(item, "shape") else sparse_format(item.attrs)
        if layout:
            check_sparse(item, f"/{place}", layout)
            if not allowance.loaded:
                check_pointers(item["indptr"][:], item["data"].shape[0], f"/{place}")
