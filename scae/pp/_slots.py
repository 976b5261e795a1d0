"""All matrices of an AnnData object: whether they are valid, and whether two of them share memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from ..errors import MatrixError
from ..io.blocks import is_backed
from ..kernels import csr

_SLOTS = ("layers", "obsm", "varm", "obsp", "varp")


def check_slots(adata: AnnData) -> None:
    """Check all sparse matrices of an object, before anndata takes a part of them.

    Raises
    ------
    MatrixError
        If the arrays of one are invalid; the message names it.
    """
    slots = {"X": adata.X} if not adata.isbacked else {}
    for slot in _SLOTS:
        slots |= {f"{slot}[{key!r}]": value for key, value in getattr(adata, slot).items()}
    for place, x in slots.items():
        if sparse.issparse(x):
            try:
                csr.sound(x)
            except MatrixError as error:
                raise MatrixError(f"{place}: {error}") from None


def unshared(adata: AnnData, x: Any, *, layer: str | None = None, obsm: str | None = None) -> Any:
    """Return a matrix of the object, or a copy of it if it is read-only or its memory belongs to another slot as well.

    Verbs that work in place call this first. ``adata.layers["counts"] = adata.X`` without a copy shares memory.
    """
    mine = _arrays(x)
    if not mine:
        return x
    own = ("layers", layer) if layer is not None else ("obsm", obsm) if obsm is not None else ("X", None)
    others = [] if own[0] == "X" or adata.isbacked else [adata.X]
    others += [] if adata.raw is None or is_backed(adata.raw._X) else [adata.raw._X]
    for slot in _SLOTS:
        others += [value for key, value in getattr(adata, slot).items() if (slot, key) != own]
    shared = any(np.may_share_memory(a, b) for other in others for b in _arrays(other) for a in mine)
    return x.copy() if shared or not mine[0].flags.writeable else x


def _arrays(x: Any) -> list[NDArray]:
    """Return the arrays that hold a matrix or table in memory, the values first."""
    if sparse.issparse(x):
        return [getattr(x, name) for name in ("data", "indices", "indptr", "row", "col") if hasattr(x, name)]
    if isinstance(x, pd.DataFrame):
        return [x[name].to_numpy() for name in x.columns] if x.columns.is_unique else [x.to_numpy()]
    return [x] if isinstance(x, np.ndarray) else []
