"""Positions of features on the genome, from columns of var or from their names."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import MissingKeyError

COLUMNS = ("chromosome", "start")
_NAME = re.compile(r"(?P<chromosome>.+)[:-](?P<start>\d+)-\d+")


def genome_order(var: pd.DataFrame) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Order the features along the genome, with chromosomes in natural order (chr2 before chr10).

    Parameters
    ----------
    var
        One row per feature, with columns ``chromosome`` and ``start``, or with index names such as ``chr1:100-200`` or
        ``chr1-100-200``.

    Returns
    -------
    tuple
        ``order``, the row of each feature along the genome; and ``breaks``, positions in ``order`` where a new chromosome
        begins.

    Raises
    ------
    MissingKeyError
        If neither the columns nor the names give every feature a position.

    Examples
    --------
    >>> genome_order(pd.DataFrame(index=["chr10:5-9", "chr2:70-80", "chr2:9-20"]))
    ((2, 1, 0), (2,))
    """
    chromosome, start = _columns(var) if set(COLUMNS) <= set(var.columns) else _names(var)
    levels, code = np.unique(chromosome, return_inverse=True)
    rank = np.empty(levels.size, np.int64)
    rank[sorted(range(levels.size), key=lambda i: _natural(str(levels[i])))] = np.arange(levels.size)
    order = np.lexsort((start, rank[code]))
    breaks = np.flatnonzero(np.diff(rank[code][order])) + 1
    return tuple(order.tolist()), tuple(breaks.tolist())


def _columns(var: pd.DataFrame) -> tuple[NDArray, NDArray]:
    start = pd.to_numeric(var["start"], errors="coerce").to_numpy(float)
    bad = np.flatnonzero(~np.isfinite(start) | var["chromosome"].isna().to_numpy())
    if bad.size:
        first = bad[0]
        raise MissingKeyError(
            f"{bad.size} of {len(var)} features have no place in var['chromosome'] and var['start'] (e.g. {var.index[first]!r}: "
            f"{var['chromosome'].iloc[first]!r}, {var['start'].iloc[first]!r}). Fill in the values, or exclude these features "
            "with mask_var."
        )
    return var["chromosome"].astype(str).to_numpy(str), start


def _names(var: pd.DataFrame) -> tuple[NDArray, NDArray]:
    parsed = [_NAME.fullmatch(str(name)) for name in var.index]
    odd = [str(name) for name, match in zip(var.index, parsed, strict=True) if match is None]
    if odd:
        columns = ", ".join(map(repr, var.columns[:20])) or "none"
        raise MissingKeyError(
            "the network needs every feature's place on the genome: var columns 'chromosome' and 'start' "
            f"(there are: {columns}), or names such as 'chr1:100-200' or 'chr1-100-200' ({len(odd)} of {len(var)} names differ, "
            f"e.g. {odd[0]!r}). Add the columns, or choose another network, such as 'mlp'."
        )
    matches = [match for match in parsed if match is not None]
    return np.array([m["chromosome"] for m in matches]), np.array([float(m["start"]) for m in matches])


def _natural(name: str) -> list[str | int]:
    """A sort key that compares digits as numbers; text and numbers alternate, so each is compared with its own kind."""
    return [int(bit) if i % 2 else bit for i, bit in enumerate(re.split(r"(\d+)", name))]
