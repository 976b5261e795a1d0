"""What a file may declare: sizes in proportion to what it stores, and sparse matrices whose arrays fit each other."""

from __future__ import annotations

import math
import os
from typing import Any

import h5py
import numpy as np

from ..errors import ModelFileError

FREE = 64 << 20  # bytes that any file may declare
RATIO = 1000  # bytes declared per byte stored: the most that gzip compresses
_IN_BLOCKS = ("X", "layers", "raw", "obsp", "varp")  # of these, a file that is opened has only blocks in memory
ASK = "Ask for the file again, from someone you trust."


class Allowance:
    """How much a file of a given size may declare.

    Parameters
    ----------
    stored : int
        Size of the file or store, bytes.
    loaded : bool
        All of it will be in memory; otherwise matrices are read block by block.
    """

    def __init__(self, stored: int, loaded: bool) -> None:
        self.stored, self.loaded = stored, loaded
        self.memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        self.all, self.at_once = 0, 0
        self.objects = 0

    def charge(self, place: str, size: int) -> None:
        """Count an object that is declared to have so many bytes.

        Raises
        ------
        ModelFileError
            If it is more than the file may declare.
        """
        self.all += size
        if self.loaded or place.strip("/").split("/")[0] not in _IN_BLOCKS or place.endswith("/indptr"):
            self.at_once += size
        allowed = max(FREE, RATIO * self.stored)
        if self.all > allowed or self.at_once > self.memory:
            raise ModelFileError(
                f"{place} makes {self.all:.3g} bytes of a file of {self.stored}; allowed: {min(allowed, self.memory):.3g}. {ASK}"
            )
        self.objects += 1
        if self.objects > 10_000 + self.stored // 16:  # the same few objects again and again, through links inside the file
            raise ModelFileError(f"{place}: links inside the file make it endless. {ASK}")


def declared(data: h5py.Dataset) -> int:
    """Bytes of all values in memory, or of one chunk if that is more."""
    space, kind = data.id.get_space(), data.id.get_type()
    each = kind.get_size()
    if kind.detect_class(h5py.h5t.VLEN) or (isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str()):
        each += 64
        if not data.id.get_storage_size() and isinstance(data.fillvalue, bytes | str):
            each += len(data.fillvalue)
    n = 0 if space.get_simple_extent_type() == h5py.h5s.NULL else math.prod(space.get_simple_extent_dims())
    return each * max(n, math.prod(data.chunks) if data.chunks and n else 0)


def sparse_format(attributes: Any) -> str | None:
    """Return ``"csr"`` or ``"csc"`` if the attributes of a group, of today or of anndata 0.6, are those of a sparse matrix."""
    text = attributes.get("h5sparse_format", attributes.get("encoding-type"))
    if isinstance(text, bytes):  # text of fixed length, which other languages than Python write
        text = text.decode("utf-8", "replace")
    return {"csr": "csr", "csr_matrix": "csr", "csc": "csc", "csc_matrix": "csc"}.get(text) if isinstance(text, str) else None


def check_sparse(group: Any, place: str, layout: str) -> None:
    """Compare the declared shape of a sparse matrix, an h5py or zarr group, with its arrays.

    Raises
    ------
    ModelFileError
        If they contradict each other.
    """
    shape = np.asarray(group.attrs.get("shape", group.attrs.get("h5sparse_shape", ()))).tolist()
    arrays: list[Any] = [group.get(name) for name in ("indptr", "indices", "data")]
    if len(shape) != 2 or not all(len(getattr(a, "shape", None) or ()) == 1 for a in arrays):
        raise ModelFileError(f"{place} is no sparse matrix: it lacks a shape or one of its three arrays. {ASK}")
    indptr, indices, _ = arrays
    n, (n_pointers, n_indices, n_values) = shape[0 if layout == "csr" else 1], [a.shape[0] for a in arrays]
    if n_pointers != n + 1 or n_indices != n_values or min(shape) < 0:
        raise ModelFileError(
            f"{place} declares shape {tuple(shape)}, but holds {n_pointers} row or column pointers, {n_indices} indices and "
            f"{n_values} values. {ASK}"
        )
    if indptr.dtype.kind not in "iu" or indices.dtype.kind not in "iu":
        raise ModelFileError(f"{place} has pointers or indices that are not whole numbers. {ASK}")


def check_pointers(indptr: np.ndarray, n_values: int, place: str) -> None:
    """Refuse row pointers that lead outside the values, where compiled code would follow them.

    Parameters
    ----------
    indptr : array
        The pointers.
    n_values : int
        Number of stored values.
    place : str
        Where the matrix is in the file.

    Raises
    ------
    ModelFileError
        If they do not rise from 0 to the number of values.
    """
    if indptr[0] != 0 or indptr[-1] != n_values or (indptr[1:] < indptr[:-1]).any():
        raise ModelFileError(
            f"{place} has pointers that do not rise from 0 to its {n_values} values. Rebuild the matrix from its source."
        )
