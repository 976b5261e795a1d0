"""What an AnnData holds, as values that are equal only if every bit is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from scae.io.blocks import is_backed

SLOTS = ("obs", "var", "layers", "obsm", "varm", "obsp", "varp", "uns")


def bits(value: Any) -> Any:
    """The type and content of a matrix, a table or a mapping of them; arrays as stored, not as they are meant."""
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, repr(value.tolist()) if value.dtype == object else value.tobytes()
    if hasattr(value, "indptr"):
        return type(value).__name__, value.shape, *(bits(np.asarray(part)) for part in (value.data, value.indices, value.indptr))
    if isinstance(value, pd.DataFrame):
        return repr(value.index.tolist()), {name: (str(value[name].dtype), repr(value[name].tolist())) for name in value}
    if isinstance(value, Mapping):
        return {name: bits(value[name]) for name in value}
    if is_backed(value):
        return type(value).__name__, bits(value[:])
    return bits(value.compute()) if hasattr(value, "compute") else (type(value).__name__, repr(value))


def all_bits(adata: Any) -> Any:
    """Everything that an AnnData holds, its file included; of anything else, its own content."""
    if not isinstance(adata, AnnData):
        return bits(adata)
    file = adata.filename.read_bytes() if adata.isbacked else bits(adata.X)
    return adata.shape, file, *(bits(getattr(adata, slot)) for slot in SLOTS), adata.obs_names.tolist(), adata.var_names.tolist()
