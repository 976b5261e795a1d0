"""The options of ``recipe`` and ``preprocess_file``, checked together before anything is read, changed or written."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import CountsError
from ._arguments import batches, need_flavor, need_genes, need_key, need_lone_spikes, need_total, need_whole
from ._calculate_qc_metrics import gene_weights, top_numbers


class Settings(NamedTuple):
    """The options of :func:`scae.pp.recipe`."""

    qc_vars: Collection[str] = ()
    percent_top: Collection[int] = (50,)
    min_genes: int = 200
    min_cells: int = 3
    target_sum: float | None = 1e4
    n_top_genes: int = 2000
    flavor: str = "seurat"
    batch_key: str | None = None
    key_counts: str = "counts"
    lone_spikes: str = "keep"
    keep_genes: Collection[str] = ()

    @property
    def one_pass(self) -> bool:
        """Whether the pass that normalises also gives all sums needed to mark variable genes."""
        return self.flavor in ("seurat", "cell_ranger") and self.batch_key is None

    @property
    def options(self) -> dict[str, Any]:
        """Those of ``highly_variable_genes``."""
        names = ("n_top_genes", "flavor", "batch_key", "key_counts", "lone_spikes", "keep_genes")
        return {name: getattr(self, name) for name in names}

    def checked(self, obs: pd.DataFrame, var: pd.DataFrame) -> Settings:
        """Return the options with lists of names and numbers; numbers of top genes above the number of genes are left out.

        Raises
        ------
        ConfigError
            If an option has a value that is not allowed.
        MissingKeyError
            If a column does not exist.
        CountsError
            If cells have no batch.
        """
        names = [self.qc_vars] if isinstance(self.qc_vars, str) else list(self.qc_vars)
        gene_weights(var, names)
        tops = [int(n) for n in top_numbers(() if self.percent_top is None else self.percent_top) if n <= len(var)]
        need_total(self.target_sum)
        need_flavor(self.flavor)
        batches(obs, self.batch_key)
        need_key("key_counts", self.key_counts)
        need_lone_spikes(self.lone_spikes)
        return self._replace(
            qc_vars=names,
            percent_top=tops,
            min_genes=need_whole("min_genes", self.min_genes, 0),
            min_cells=need_whole("min_cells", self.min_cells, 0),
            n_top_genes=need_whole("n_top_genes", self.n_top_genes, 1),
            keep_genes=need_genes("keep_genes", self.keep_genes, var.index),
        )


def check_some_pass(cells: NDArray[np.bool_], genes: NDArray[np.bool_], s: Settings) -> None:
    """Raise ``CountsError`` if no cell or no gene passes the filters; to be called before anything is removed."""
    if not cells.any():
        raise CountsError(f"none of the {cells.size} cells has {s.min_genes} expressed genes: lower min_genes.")
    if not genes.any():
        kept = f"{s.min_cells} of the {int(cells.sum())} cells that pass min_genes={s.min_genes}"
        raise CountsError(f"none of the {genes.size} genes is expressed in {kept}: lower min_cells.")


def warn_replaced(before: dict[str, pd.DataFrame], after: dict[str, pd.DataFrame]) -> None:
    """Warn about columns that existed before and now have other values.

    Parameters
    ----------
    before, after : dict of DataFrame
        The tables ``"obs"`` and ``"var"`` before and after, of the same rows.
    """
    replaced = [
        f"{place}[{name!r}]"
        for place, table in before.items()
        for name in table.columns.intersection(after[place].columns)
        if not _same(table[name], after[place][name])
    ]
    if replaced:
        warnings.warn(
            f"columns that existed now have new values: {', '.join(replaced)}. To keep old values, rename the columns first.",
            UserWarning,
            stacklevel=3,
        )


def _same(old: Any, new: Any) -> bool:
    """Tell whether two columns have the same values up to rounding."""
    try:
        return bool(np.allclose(old.to_numpy(float), new.to_numpy(float), rtol=1e-5, equal_nan=True))
    except (TypeError, ValueError):
        return bool(old.astype(str).to_numpy().tolist() == new.astype(str).to_numpy().tolist())
