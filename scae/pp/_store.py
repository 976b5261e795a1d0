"""Read and write AnnData stores (h5ad or zarr) element by element, and sparse matrices block by block."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
from anndata import AnnData
from anndata.io import read_elem, sparse_dataset, write_elem
from numpy.typing import NDArray

from ..errors import ConfigError, CountsError, ModelFileError, OutputError
from ..io.advice import unreadable
from ..io.hdf5 import writing
from ..io.links import opened
from ..io.sizes import sparse_format
from ..io.writer import replacing

_CHUNK = 1 << 18  # stored values per chunk of the file


@contextmanager
def open_read(path: Path, *, allow_links: bool = False) -> Iterator[Any]:
    """Open the root group of an h5ad file or a zarr store for reading.

    Parameters
    ----------
    path : Path
        The file or store.
    allow_links : bool
        Follow links to other files, and trust what the file declares; for files of one's own.

    Raises
    ------
    ModelFileError
        If there is no such file, or it is truncated or of another kind, links to other files, or declares far more than it holds.
    """
    if not path.exists():
        raise ModelFileError(f"there is no file {path}. Name an h5ad file or a zarr store.")
    with opened(path, loaded=False, allow_links=allow_links) as root:
        yield root


@contextmanager
def open_write(path: Path) -> Iterator[Any]:
    """Open the root group of a new store for writing; it replaces what is at ``path`` only when the block has ended well.

    Raises
    ------
    OutputError
        As :func:`scae.io.writer.replacing`; what was there before is unchanged.
    """
    folder = path.suffix == ".zarr"
    strings = anndata.settings.override(allow_write_nullable_strings=True)  # otherwise a file that holds some is refused
    with replacing(path, folder=folder) as temporary, strings:
        if folder:
            import zarr

            root = zarr.open_group(temporary, mode="w")
            root.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
            yield root
        else:
            with writing(temporary) as (file, _):
                file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
                yield file


def matrix(root: Any, name: str = "X") -> Any:
    """Return a matrix of the store without loading it: anndata's sparse dataset, or the h5py or zarr array if it is dense.

    Raises
    ------
    CountsError
        If the store has no such matrix.
    ModelFileError
        If what it has there is no matrix.
    """
    if name not in root:
        raise CountsError(f"the store has no {name!r}, only {', '.join(sorted(root.keys()))}. Write the counts to {name!r}.")
    item = root[name]
    if sparse_format(item.attrs):
        return sparse_dataset(item)
    if not hasattr(item, "shape"):
        raise ModelFileError(f"{name} of {_where(root)} is not a matrix, but a group of {', '.join(sorted(item)) or 'nothing'}.")
    return item


def _where(root: Any) -> str:
    """The file or store, for messages."""
    return str(root.file.filename if isinstance(root, h5py.Group) else root.store_path)


def element(root: Any, name: str, default: Any) -> Any:
    """Load a small element; return ``default`` if the store does not have it.

    Raises
    ------
    ModelFileError
        If anndata cannot read it.
    """
    if name not in root:
        return default
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old files, about which the user can do nothing
            return read_elem(root[name])
    except Exception as fault:  # h5py, zarr and anndata each raise their own
        raise unreadable(f"{name} of {_where(root)}", fault) from fault


def put(root: Any, name: str, value: Any) -> None:
    """Write a small element.

    Raises
    ------
    OutputError
        If anndata cannot write it.
    """
    try:
        write_elem(root, name, value)
    except OSError:
        raise
    except Exception as fault:  # h5py, zarr and anndata each raise their own
        reason = (str(fault) or type(fault).__name__).splitlines()[0]
        raise OutputError(f"cannot write {name} of the result: anndata cannot write what it is to hold ({reason}).") from fault


def columns(root: Any, name: str) -> dict[str, Any]:
    """Load a small group, or the compound array that anndata 0.6 wrote in its place, as a dictionary."""
    values = element(root, name, {})
    return values if isinstance(values, dict) else {key: values[key] for key in values.dtype.names or ()}


def tables(root: Any) -> AnnData:
    """Load ``obs``, ``var`` and ``uns`` as anndata reads them, also where anndata 0.6 wrote them.

    Raises
    ------
    ModelFileError
        If they are not two tables and a dictionary.
    """
    loaded, uns = {axis: element(root, axis, pd.DataFrame()) for axis in ("obs", "var")}, element(root, "uns", {})
    try:
        axes = {axis: _table(values) for axis, values in loaded.items()}
        if "obs" in root and hasattr(root["obs"], "dtype"):
            _categories(axes, uns)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old or damaged files, about which the user can do nothing
            return AnnData(**axes, uns=uns)
    except Exception as fault:  # whatever pandas and anndata make of something else in their place
        raise unreadable(f"obs, var or uns of {_where(root)}", fault) from fault


def _table(values: Any) -> pd.DataFrame:
    """Make a table of the compound array of anndata 0.6, whose first field is the index."""
    if isinstance(values, pd.DataFrame):
        return values
    fields = {key: [v.decode() if isinstance(v, bytes) else v for v in values[key].tolist()] for key in values.dtype.names}
    table = pd.DataFrame({key: np.asarray(v, object if values[key].dtype.kind in "OSU" else None) for key, v in fields.items()})
    return table.set_index(table.columns[0])


def _categories(axes: dict[str, pd.DataFrame], uns: dict[str, Any]) -> None:
    """Turn codes into the categories that anndata 0.6 kept in ``uns``; which axis they belong to, only their number tells."""
    for key in [key for key in uns if key.endswith("_categories")]:
        levels = np.atleast_1d(uns[key])
        name, used = key.removesuffix("_categories"), False
        for table in axes.values():
            if name in table and table[name].dtype.kind in "iu" and (table[name] < len(levels)).all():
                table[name], used = pd.Categorical.from_codes(table[name], levels), True
        if used:
            del uns[key]


class CsrWriter:
    """Write a CSR matrix to a store block by block.

    Parameters
    ----------
    root : h5py or zarr group
        Root group of the store.
    name : str
        Path of the matrix in the store.
    n_columns : int
        Number of columns.

    Raises
    ------
    ConfigError
        If the store already has something at this path.
    """

    def __init__(self, root: Any, name: str, n_columns: int) -> None:
        if name in root:
            raise ConfigError(f"{name!r} is already in the store. Choose another name.")
        self._group = root.create_group(name)
        self._lengths: list[NDArray[np.int64]] = []
        self._n_columns = n_columns
        self._stored = 0

    def append(self, lengths: NDArray[np.int64], indices: NDArray, data: NDArray) -> None:
        """Append rows, given the number of stored values per row, ``(rows,)``, and their columns and values, ``(nnz,)`` each."""
        for name, values in (("indices", indices.astype(np.int32, copy=False)), ("data", data)):
            if name not in self._group:
                self._create(name, values.dtype)
            target = self._group[name]
            target.resize((self._stored + values.size,))
            target[self._stored : self._stored + values.size] = values
        self._stored += data.size
        self._lengths.append(lengths)

    def _create(self, name: str, dtype: Any) -> None:
        """Create an empty array that can grow."""
        if isinstance(self._group, h5py.Group):
            self._group.create_dataset(name, (0,), dtype=dtype, maxshape=(None,), chunks=(_CHUNK,))
        else:
            self._group.create_array(name, shape=(0,), dtype=dtype, chunks=(_CHUNK,))

    def close(self) -> None:
        """Write the row pointers and the attributes; call this after the last block."""
        lengths = np.concatenate([np.zeros(1, np.int64), *self._lengths])
        write_elem(self._group, "indptr", np.cumsum(lengths))
        shape = [int(lengths.size - 1), self._n_columns]
        self._group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": shape})
