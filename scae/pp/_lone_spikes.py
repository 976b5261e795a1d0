"""Genes with a lone spike: one cell has at least ten counts, and more than four times the second greatest count of the gene."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import CountsError
from ..kernels.greatest import is_lone_spike, merged, two_greatest
from ..kernels.rows import Rows
from ._matrix import each_block
from ._subset import Mask


def lone_spike_genes(counts: Any, cells: Mask = None, genes: Mask = None) -> NDArray[np.bool_]:
    """Return which genes of any matrix of counts have a lone spike, ``(genes,)``; the masks choose some cells and genes.

    Raises
    ------
    CountsError
        If all have one, so that none could be ranked.
    """

    def of_block(block: Rows, start: int) -> NDArray[np.float64]:
        chosen = block if cells is None else block.take(np.flatnonzero(cells[start : start + block.n_rows]))
        return two_greatest(chosen)

    lone = is_lone_spike(reduce(merged, each_block(counts, of_block)))
    lone = lone if genes is None else lone[genes]
    if lone.all():
        raise CountsError(f"each of the {lone.size} genes has a lone spike, so lone_spikes='drop' leaves none. Use 'keep'.")
    return lone


def with_lone_spikes(table: pd.DataFrame, lone: NDArray[np.bool_], names: Any) -> pd.DataFrame:
    """Return the table of all genes from that of the others; genes with a lone spike are not marked and have no values."""
    table, every = table.set_axis(np.flatnonzero(~lone)), range(lone.size)
    columns = {
        name: column.reindex(every, fill_value=column.dtype.type(0)) if column.dtype.kind in "bi" else column.reindex(every)
        for name, column in table.items()
    }
    return pd.DataFrame(columns | {"lone_spike": lone}).set_axis(names)
