"""The contract of verbs that take counts: the values are whole numbers, or the verb refuses them as ``scae.check`` does."""

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData
from scipy import sparse

from ..checks import examine
from ..errors import CountsError
from ..io.blocks import is_backed
from ..kernels import csr
from ..kernels.counts import are_counts
from ..kernels.rows import Rows
from ..keys import DataKeys
from ._matrix import each_block, is_dask, summed


def holds_counts(x: Any) -> bool:
    """Tell whether the entries of a matrix in memory are counts; repeated entries are summed."""
    if are_counts(x.data if sparse.issparse(x) else np.asarray(x)):
        return True
    return sparse.issparse(x) and not csr.sound(x) and are_counts(summed(x).data)


def _block_holds_counts(block: Rows, start: int) -> tuple[int, int, bool]:
    """Return the first row of a block, the row after its last, and whether its values are counts."""
    good = are_counts(block.data) or are_counts(block.canonical().data)
    return start, start + block.n_rows, good


def need_counts(adata: AnnData, x: Any, layer: str | None) -> None:
    """Raise the error of ``scae.check`` unless the matrix ``x``, ``X`` or a layer of the object, holds counts.

    Raises
    ------
    CountsError
        If a value is negative, a fraction, NaN, infinite or above 2⁵³.
    """
    if not (is_backed(x) or is_dask(x)):
        if not holds_counts(x):
            refuse(adata, layer)
        return
    for start, stop, good in each_block(x, _block_holds_counts):
        if not good:
            whole = stop - start == adata.n_obs
            refuse(adata[start:stop].to_memory(), layer, "" if whole else f" (cells {start} to {stop - 1})")


def refuse(adata: AnnData, layer: str | None, where: str = "") -> None:
    """Raise the error of ``scae.check`` for values that are not counts; ``where`` is added to its message."""
    report, _ = examine(adata, DataKeys(layer=layer))
    for finding in report.findings:
        if finding.level == "error" and issubclass(finding.error, CountsError):
            raise finding.error(finding.message + where)
    report.raise_errors()
