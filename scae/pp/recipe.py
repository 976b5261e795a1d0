"""The usual preprocessing in two passes over the counts."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from ..errors import ConfigError, CountsError
from ..kernels import sums
from ..kernels.rows import Rows
from ._calls import own
from ._dispersion import one_batch
from ._fused import log_normalised
from ._matrix import get_rep, is_csr
from ._moments import mean_var
from ._subset import as_scipy, subset
from .filters import filter_cells, filter_genes
from .logarithm import log1p
from .normalize import normalize_total
from .quality import calculate_qc_metrics
from .variable import highly_variable_genes, write_columns

ON_COUNTS = ("seurat_v3", "seurat_v3_paper", "pearson_residuals")


class Settings(NamedTuple):
    """The recipe's options, as one value for the ways it is carried out."""

    qc_vars: Collection[str] = ()
    percent_top: Collection[int] = (50,)
    min_genes: int = 200
    min_cells: int = 3
    target_sum: float | None = 1e4
    n_top_genes: int = 2000
    flavor: str = "seurat"
    batch_key: str | None = None
    key_counts: str = "counts"

    @property
    def one_pass(self) -> bool:
        """Whether the moments that variable genes need come with the normalisation."""
        return self.flavor in ("seurat", "cell_ranger") and self.batch_key is None


def recipe(
    adata: AnnData,
    *,
    qc_vars: Collection[str] = (),
    percent_top: Collection[int] = (50,),
    min_genes: int = 200,
    min_cells: int = 3,
    target_sum: float | None = 1e4,
    n_top_genes: int = 2000,
    flavor: str = "seurat",
    batch_key: str | None = None,
    key_counts: str = "counts",
) -> None:
    """Quality metrics, filters, normalisation, logarithm and variable genes, in place.

    Equal to ``calculate_qc_metrics``, ``filter_cells(min_genes)``, ``filter_genes(min_cells)``, a copy of the counts to a
    layer, ``normalize_total``, ``log1p`` and ``highly_variable_genes`` one after another, in fewer passes over the data.

    Parameters
    ----------
    adata
        Cells × genes with counts in ``X``; any kind of matrix in memory, or dask. For files see ``scae preprocess``.
    qc_vars, percent_top
        As in ``calculate_qc_metrics``; numbers above the number of genes are left out.
    min_genes
        Fewest expressed genes of a cell that is kept.
    min_cells
        Fewest cells, among those kept, that express a gene that is kept.
    target_sum
        Total of each cell afterwards; None takes the median.
    n_top_genes, flavor, batch_key
        As in ``highly_variable_genes``; flavours that expect counts get them.
    key_counts
        Layer for the counts.

    Raises
    ------
    ConfigError
        If the layer for the counts is there already.
    CountsError
        If no cell has ``min_genes`` expressed genes; the cells are all still there.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> counts = np.random.default_rng(0).poisson(1.0, (60, 40)).astype("float32")
    >>> adata = anndata.AnnData(counts)
    >>> recipe(adata, min_genes=5, n_top_genes=10, percent_top=())
    >>> sorted(adata.layers), "highly_variable" in adata.var
    (['counts'], True)
    """
    if key_counts in adata.layers:
        raise ConfigError(f"layer {key_counts!r} is there already: name another with key_counts=, or delete it.")
    tops = tuple(n for n in percent_top if n <= adata.n_vars)
    settings = Settings(qc_vars, tops, min_genes, min_cells, target_sum, n_top_genes, flavor, batch_key, key_counts)
    own(adata)
    calculate_qc_metrics(adata, qc_vars=qc_vars, percent_top=tops, inplace=True)
    some_left(adata.obs["n_genes_by_counts"].to_numpy() >= min_genes, settings)
    (_fused if _fusable(get_rep(adata)) else _by_verbs)(adata, settings)


def some_left(cells: NDArray[np.bool_], s: Settings) -> None:
    """Raise, before anything is dropped, where no cell would be kept."""
    if not cells.any():
        raise CountsError(f"none of the {cells.size} cells has {s.min_genes} expressed genes: lower min_genes.")


def _fusable(x: Any) -> bool:
    return is_csr(x) and x.dtype in (np.float32, np.float64) and x.has_canonical_format and x.data.min(initial=0) >= 0


def _by_verbs(adata: AnnData, s: Settings) -> None:
    filter_cells(adata, min_genes=s.min_genes)
    filter_genes(adata, min_cells=s.min_cells)
    adata.layers[s.key_counts] = adata.X.copy()
    normalize_total(adata, target_sum=s.target_sum)
    log1p(adata)
    _variable(adata, s)


def _variable(adata: AnnData, s: Settings) -> None:
    layer = s.key_counts if s.flavor in ON_COUNTS else None
    options = {"flavor": s.flavor, "n_top_genes": s.n_top_genes, "batch_key": s.batch_key}
    highly_variable_genes(adata, layer=layer, **options)  # type: ignore[arg-type]


def _fused(adata: AnnData, s: Settings) -> None:
    """The numbers that the filters need are those of the quality metrics, as long as no value is negative."""
    n_genes = adata.obs["n_genes_by_counts"].to_numpy().astype(np.int64)
    cells = n_genes >= s.min_genes
    n_cells = adata.var["n_cells_by_counts"].to_numpy().astype(np.int64)
    if not cells.all():
        gone = Rows.of(adata.X).take(np.flatnonzero(~cells))
        n_cells = n_cells - sums.detected(gone)
    adata.obs["n_genes"], adata.var["n_cells"] = n_genes, n_cells
    subset(adata, cells, n_cells >= s.min_cells)
    adata.layers[s.key_counts] = adata.X
    m = Rows.of(adata.X)
    totals = sums.rows(m)[:, 0].astype(m.data.dtype)
    factors = totals / (np.median(totals) if s.target_sum is None else s.target_sum)
    values, moments = log_normalised(m, np.where(factors == 0, 1, factors), moments_of_logs=s.flavor == "cell_ranger")
    adata.X = as_scipy(m._replace(data=values, indices=m.indices.copy(), indptr=m.indptr.copy()), adata.X)
    adata.uns["log1p"] = {"base": None}
    if s.one_pass:
        mark(adata.var, moments, adata.n_obs, s)
        adata.uns["hvg"] = {"flavor": s.flavor}
    else:
        _variable(adata, s)


def mark(var: pd.DataFrame, moments: NDArray[np.float64], n_cells: int, s: Settings) -> None:
    """Write the columns of variable genes from the moments of a single batch."""
    table = one_batch(*mean_var(moments, n_cells), s.flavor, 20, s.n_top_genes)
    write_columns(var, table, ["highly_variable", "means", "dispersions", "dispersions_norm"])
