"""Code shared by ``filter_cells`` and ``filter_genes``."""

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData

from ..errors import ConfigError
from ._arguments import need_number, refuse_backed_change
from ._calls import log
from ._matrix import checked, get_rep, is_dask, sum_dtype
from ._slots import check_slots
from ._subset import subset
from ._totals import totals

Limits = tuple[float | None, float | None, float | None, float | None]  # min_counts, max_counts, min_detected, max_detected


def check_one_limit(limits: Limits, names: tuple[str, ...]) -> None:
    """Raise ``ConfigError`` unless exactly one limit is set, as in scanpy, and it is a number of at least 0."""
    n_set = sum(limit is not None for limit in limits)
    if n_set != 1:
        listed = ", ".join(f"`{name}`" for name in names)
        raise ConfigError(f"{n_set} limits were given. Give exactly one of {listed} per call.")
    need_number("the limit", next(limit for limit in limits if limit is not None), least=0)


def filter_axis(data: Any, limits: Limits, axis: int, *, inplace: bool, copy: bool, layer: str | None) -> Any:
    """Filter the cells (axis 0) or the genes (axis 1); see the public verbs for the arguments and the result."""
    verb = ("filter_cells", "filter_genes")[axis]
    if not isinstance(data, AnnData):
        return _mask_and_number(checked(data, verb), limits, axis)
    x = get_rep(data, verb, layer=layer)
    refuse_backed_change(data, verb, whole=inplace)
    if inplace:
        check_slots(data)
    adata = data.copy() if copy else data
    mask, number = (np.asarray(part) for part in _mask_and_number(x, limits, axis))  # computes dask arrays
    if not inplace:
        return mask, number
    name = "n_counts" if limits[2:] == (None, None) else ("n_genes", "n_cells")[axis]
    (adata.var if axis else adata.obs)[name] = number
    subset(adata, **{("cells", "genes")[axis]: mask})
    return adata if copy else None


def _mask_and_number(x: Any, limits: Limits, axis: int) -> tuple[Any, Any]:
    """Return which rows or columns pass the limit, and the number that was compared with it; lazy for dask."""
    by_counts = limits[2:] == (None, None)
    dtype = sum_dtype(x.dtype if by_counts else bool)
    number = totals(x, axis, by_counts, dtype)
    lower, upper = (limits[0], limits[1]) if by_counts else (limits[2], limits[3])
    mask = number <= upper if lower is None else number >= lower
    if not is_dask(x) and not mask.all():
        what = ("cells", "genes")[axis]
        bound = f"less than {lower}" if lower is not None else f"more than {upper}"
        log.info("filtered out %d %s with %s %s", (~mask).sum(), what, bound, "counts" if by_counts else "detections")
    return mask, number
