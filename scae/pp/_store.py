"""Read and write AnnData stores (h5ad or zarr) element by element, and sparse matrices block by block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from anndata.io import read_elem, sparse_dataset, write_elem
from numpy.typing import NDArray

from ..errors import ConfigError, CountsError, ModelFileError
from ..io.hdf5 import writing
from ..io.links import opened
from ..io.writer import replacing

_CHUNK = 1 << 18  # stored values per chunk of the file


def _is_zarr(path: Path) -> bool:
    return path.is_dir() or path.suffix == ".zarr"


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
        If there is no such file, or it is truncated or of another format, links to other files, or declares far more than it
        holds.
    """
    if not path.exists():
        raise ModelFileError(f"there is no file {path}. Name an h5ad file or a zarr store.")
    with opened(path, folder=_is_zarr(path), loaded=False, allow_links=allow_links) as root:
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
    with replacing(path, folder=folder) as temporary:
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
    """
    if name not in root:
        raise CountsError(f"the store has no {name!r}, only {', '.join(sorted(root.keys()))}. Write the counts to {name!r}.")
    item = root[name]
    return sparse_dataset(item) if "encoding-type" in item.attrs and "matrix" in item.attrs["encoding-type"] else item


def element(root: Any, name: str, default: Any) -> Any:
    """Load a small element; return ``default`` if the store does not have it."""
    return read_elem(root[name]) if name in root else default


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
