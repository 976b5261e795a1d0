"""Read and write AnnData files."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anndata
import h5py
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from anndata.experimental import write_dispatched

from ..errors import ModelFileError, OutputError
from ..io import advice, hdf5, links
from ..io.room import disk_free, in_words
from ..io.writer import check_output, replacing
from . import foreign

log = logging.getLogger("scae")
INPUT = "raw counts: h5ad file or .zarr store, 10x .h5 file or folder, loom file, or table of text (.csv, .tsv)"
ENDINGS = (".h5ad", ".zarr")
_SQUEEZED = 20  # zarr stores are compressed, counts to a tenth or so; h5ad files are not


def read(path: str, *, allow_links: bool = False) -> AnnData:
    """Read an h5ad file, a zarr store, or one of the kinds of :mod:`scae.cli.foreign`.

    Parameters
    ----------
    path
        The file.
    allow_links
        Follow links to other files, and trust what the file declares; for files of one's own.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelFileError
        If it is truncated, of another kind, links to other files, or declares far more than it holds.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no file {path}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about old files, about which the user can do nothing
            with links.opened(path, allow_links=allow_links):
                pass
            return anndata.read_zarr(path) if Path(path).is_dir() else anndata.read_h5ad(path)
    except ModelFileError:
        other = foreign.read(Path(path))  # only now, because to look at a large file takes a while
        if other is None:
            raise
        return other
    except Exception as fault:  # h5py, zarr and anndata each raise their own
        raise advice.unreadable(path, fault) from fault


def is_zarr(path: str | Path) -> bool:
    """Whether a path for writing names a zarr store rather than a file."""
    return str(path).rstrip("/").endswith(".zarr")


def check_target(path: str) -> None:
    """Refuse, before any work, a file that :func:`write` could not write.

    Raises
    ------
    OutputError
        As :func:`scae.io.writer.check_output`, or if the name ends in neither ``.h5ad`` nor ``.zarr``.
    """
    if not str(path).rstrip("/").endswith(ENDINGS):
        raise OutputError(f"cannot write {path}: the name must end in .h5ad or .zarr, which says the format.")
    check_output(path, folder=is_zarr(path))


def check_model_target(path: str) -> None:
    """Refuse, before any work, a model file that could not be written, or whose name is that of data.

    Raises
    ------
    OutputError
        As :func:`scae.io.writer.check_output`, or if the name ends in ``.h5ad`` or ``.zarr``.
    """
    if str(path).rstrip("/").endswith(ENDINGS):
        raise OutputError(f"cannot write a model to {path}: names in .h5ad and .zarr are for data. Choose another.")
    check_output(path)


def check_contents(adata: AnnData, path: str, columns: Sequence[str] = ()) -> None:
    """Refuse, before any work, AnnData with something that :func:`write` could not write.

    All names and columns are written to memory, with one row of each matrix.

    Parameters
    ----------
    adata
        What is to be written.
    path
        Where; its ending says the format.
    columns
        Names of the columns of a table that the work is going to add to ``obsm``.

    Raises
    ------
    OutputError
        If a name or a value cannot be written in this format.
    """
    frames = AnnData(obs=adata.obs.copy(deep=False), var=adata.var.copy(deep=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # given when the file itself is written
        frames.strings_to_categoricals()
        row = adata[:1, :1].copy()
        if columns:
            row.obsm["scae"] = pd.DataFrame(0.0, row.obs_names, list(dict.fromkeys(columns)))
        for part in (frames, row):
            with _refusing(path):
                _write_to_memory(part, path)


def check_room(adata: AnnData, path: str, more: int = 0) -> None:
    """Refuse, before any work, a file that is clearly larger than the free space where it goes.

    Parameters
    ----------
    adata
        What is to be written.
    path
        Where; what is there already is replaced only once the new file is whole, and so gives no room.
    more
        Bytes that the work is going to add.

    Raises
    ------
    OutputError
        If the disk has less.
    """
    slots = (adata.layers, adata.obsm, adata.varm, adata.obsp, adata.varp)
    raw = () if adata.raw is None else (adata.raw.X, adata.raw.var)
    values = (adata.X, adata.obs, adata.var, *raw, *(value for slot in slots for value in slot.values()))
    need = (sum(map(_bytes, values)) + more) // (_SQUEEZED if is_zarr(path) else 1)
    folder = Path(os.path.realpath(path)).parent
    free = disk_free(folder)
    if free is not None and need > free:
        raise OutputError(
            f"cannot write {path}: it takes at least {in_words(need)}, and {folder} has {in_words(free)} free. Free some space, "
            "or name a file on another disk."
        )


def _bytes(value: Any) -> int:
    if sp.issparse(value):
        return value.data.nbytes + value.indices.nbytes + value.indptr.nbytes
    return int(value.memory_usage().sum()) if isinstance(value, pd.DataFrame) else getattr(value, "nbytes", 0)


def write(adata: AnnData, path: str) -> None:
    """Write an h5ad file or, if the name ends in ``.zarr``, a zarr store; whole, or not at all.

    Raises
    ------
    OutputError
        As :func:`check_target`, if the disk is full, if anndata cannot write something in ``adata`` in this format, or if what
        was written is not what is read back.
    """
    check_target(path)
    adata.strings_to_categoricals()
    with replacing(path.rstrip("/"), folder=is_zarr(path)) as temporary, _refusing(path):
        _write(adata, temporary, path)
    log.info("wrote %s", path)


def separator_of(path: str) -> str:
    """The separator of a table, from the ending of its name.

    Raises
    ------
    OutputError
        If it is neither .csv nor .tsv.
    """
    separators = {".csv": ",", ".tsv": "\t"}
    if Path(path).suffix not in separators:
        raise OutputError(f"cannot write {path}: the name must end in .csv or .tsv, which says the format.")
    return separators[Path(path).suffix]


def write_text(path: str, text: str) -> None:
    """Write a text file; whole, or not at all."""
    with replacing(Path(path)) as beside:
        beside.write_text(text, "utf-8")
    log.info("wrote %s", path)


@contextmanager
def _refusing(path: str) -> Iterator[None]:
    """Write what anndata can write, nullable strings too, and give what it cannot as an :class:`OutputError`."""
    try:
        with anndata.settings.override(allow_write_nullable_strings=True), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Writing zarr v2")  # which format is the default is anndata's decision
            yield
    except Exception as fault:  # h5py, zarr and anndata each raise their own
        if isinstance(fault, OutputError) or getattr(fault, "errno", None) is not None:  # the disk's fault
            raise
        reason = (str(fault) or type(fault).__name__).splitlines()[0].rstrip(".")
        where = re.search(r"key '(.*)' of .* to (.*)", " ".join(getattr(fault, "__notes__", [])))  # anndata tells it as a note
        what = f"{where[2].rstrip('/')}/{where[1]}" if where else "what it is to hold"
        raise OutputError(
            f"cannot write {path}: anndata cannot write {what} ({reason}). Rename, convert or delete it."
        ) from fault


def _write_to_memory(adata: AnnData, path: str) -> None:
    """Write as :func:`_write` does, but to memory."""
    if is_zarr(path):
        import zarr

        store = zarr.storage.MemoryStore()
        adata.write_zarr(store)
        _compare(adata, zarr.open_group(store, mode="r"), path)
    else:
        with h5py.File("trial", "w", driver="core", backing_store=False) as file:
            _dispatch(adata, file, lambda: None)
            _compare(adata, file, path)


def _write(adata: AnnData, temporary: Path, path: str) -> None:
    if is_zarr(path):
        adata.write_zarr(temporary)
        import zarr

        _compare(adata, zarr.open_group(temporary, mode="r"), path)
    else:
        _write_h5ad(adata, temporary)
        with h5py.File(temporary) as file:
            _compare(adata, file, path)


def _write_h5ad(adata: AnnData, path: Path) -> None:
    with hdf5.writing(path) as (file, check):
        _dispatch(adata, file, check)


def _dispatch(adata: AnnData, file: h5py.File, check: Callable[[], None]) -> None:
    def each(func: Any, store: Any, key: str, element: Any, *, dataset_kwargs: Mapping[str, Any], **_: Any) -> None:
        check()  # a disk that is full already ends it here
        func(store, key, element, dataset_kwargs=dataset_kwargs)

    write_dispatched(file, "/", adata, each)


def _compare(adata: AnnData, root: Any, path: str) -> None:
    """Compare the names and sizes in a store with what was to be written."""
    for slot in ("obsm", "varm", "layers", "obsp", "varp", "uns"):
        lost = set(getattr(adata, slot)) - set(root[slot])
        if lost:
            hint = " A name with '/' is taken for a path within the file: rename it." if "/" in "".join(lost) else ""
            raise OutputError(
                f"cannot write {path}: {slot} of what was written lacks {', '.join(map(repr, sorted(lost)))}.{hint}"
            )
    sizes = tuple(root[axis][root[axis].attrs["_index"]].shape[0] for axis in ("obs", "var"))
    if sizes != adata.shape:
        raise OutputError(f"cannot write {path}: {sizes[0]} × {sizes[1]} of {adata.n_obs} × {adata.n_vars} were written.")
