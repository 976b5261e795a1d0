"""h5ad and zarr stores of AnnData, element by element, and a sparse matrix that is written block by block."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from anndata.io import read_elem, sparse_dataset, write_elem
from numpy.typing import NDArray

from ..errors import ConfigError, MissingKeyError

_CHUNK = 1 << 18  # stored values a chunk of the file


def _is_zarr(path: Path) -> bool:
    return path.is_dir() or path.suffix == ".zarr"


@contextmanager
def open_read(path: Path) -> Iterator[Any]:
    """The root group of an h5ad file or a zarr store."""
    if not path.exists():
        raise MissingKeyError(f"{str(path)!r} does not exist: name an h5ad file or a zarr store.")
    if _is_zarr(path):
        import zarr

        yield zarr.open_group(path, mode="r")
    else:
        try:
            file = h5py.File(path, "r")
        except OSError as fault:
            raise OSError(f"{path} cannot be read as h5ad ({fault}). Is it a whole file?") from fault
        with file:
            yield file


@contextmanager
def open_write(path: Path) -> Iterator[Any]:
    """The root group of a new store, written beside ``path`` and renamed over it at the end; on an error nothing is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    new = beside / path.name
    try:
        if _is_zarr(path):
            import zarr

            root = zarr.open_group(new, mode="w")
            root.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
            yield root
            if path.exists():
                os.replace(path, beside / "old")
        else:
            with h5py.File(new, "w") as file:
                file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
                yield file
        os.replace(new, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def matrix(root: Any, name: str = "X") -> Any:
    """A matrix of the store, left on disk: anndata's sparse dataset, or the array itself if dense."""
    if name not in root:
        raise MissingKeyError(f"the store has no {name!r}: it holds {', '.join(sorted(root.keys()))}.")
    found = root[name]
    return sparse_dataset(found) if "encoding-type" in found.attrs and "matrix" in found.attrs["encoding-type"] else found


def element(root: Any, name: str, default: Any) -> Any:
    """A small element, in memory."""
    return read_elem(root[name]) if name in root else default


class CsrWriter:
    """A CSR matrix that grows by blocks of rows.

    Parameters
    ----------
    root
        Root group of the store.
    name
        Path of the matrix in it.
    n_columns
        Number of columns.
    """

    def __init__(self, root: Any, name: str, n_columns: int) -> None:
        if name in root:
            raise ConfigError(f"{name!r} is in the store already: choose another name.")
        self._group = root.create_group(name)
        self._lengths: list[NDArray[np.int64]] = []
        self._n_columns = n_columns
        self._stored = 0

    def append(self, lengths: NDArray[np.int64], indices: NDArray, data: NDArray) -> None:
        """Add rows: the number of their stored values, the columns and the values."""
        for name, values in (("indices", indices.astype(np.int32, copy=False)), ("data", data)):
            if name not in self._group:
                self._create(name, values.dtype)
            target = self._group[name]
            target.resize((self._stored + values.size,))
            target[self._stored : self._stored + values.size] = values
        self._stored += data.size
        self._lengths.append(lengths)

    def _create(self, name: str, dtype: Any) -> None:
        if isinstance(self._group, h5py.Group):
            self._group.create_dataset(name, (0,), dtype=dtype, maxshape=(None,), chunks=(_CHUNK,))
        else:
            self._group.create_array(name, shape=(0,), dtype=dtype, chunks=(_CHUNK,))

    def close(self) -> None:
        """Write the row pointers and what the store says about the matrix."""
        lengths = np.concatenate([np.zeros(1, np.int64), *self._lengths])
        write_elem(self._group, "indptr", np.cumsum(lengths))
        shape = [int(lengths.size - 1), self._n_columns]
        self._group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": shape})
