"""The standard preprocessing workflow in one call."""

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
from ._calculate_qc_metrics import calculate_qc_metrics
from ._calls import copy_if_view
from ._dispersion import one_batch
from ._filter_cells import filter_cells
from ._filter_genes import filter_genes
from ._fused import log_normalised
from ._highly_variable_genes import highly_variable_genes, write_columns
from ._log1p import log1p
from ._matrix import get_rep, is_csr
from ._moments import mean_var
from ._normalize_total import normalize_total
from ._subset import as_scipy, subset

ON_COUNTS = ("seurat_v3", "seurat_v3_paper", "pearson_residuals")


class Settings(NamedTuple):
    """The options of :func:`recipe`."""

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
        """Whether the pass that normalises also gives all sums needed to mark variable genes."""
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
    """Compute quality metrics, filter, normalise, log-transform and mark variable genes, in place.

    The result is that of ``calculate_qc_metrics``, ``filter_cells(min_genes)``, ``filter_genes(min_cells)``, copying the counts
    to a layer, ``normalize_total``, ``log1p`` and ``highly_variable_genes``, in this order, but with fewer passes over the data.

    Parameters
    ----------
    adata : AnnData
        Cells × genes with counts in ``X``: sparse or dense in memory, or dask. For files, see :func:`scae.pp.preprocess_file`.
    qc_vars : sequence of str
        Boolean columns of ``var`` that mark sets of genes, e.g. mitochondrial genes; as in ``calculate_qc_metrics``.
    percent_top : sequence of int
        Numbers of top genes, as in ``calculate_qc_metrics``. Numbers larger than the number of genes are ignored.
    min_genes : int
        Cells that express fewer genes are removed.
    min_cells : int
        Genes expressed in fewer of the remaining cells are removed.
    target_sum : float or None
        Total count of each cell after normalisation; None for the median total.
    n_top_genes : int
        Number of variable genes to mark.
    flavor : str
        How variable genes are ranked, as in ``highly_variable_genes``. Flavours that expect counts use the layer of counts.
    batch_key : str, optional
        Column of ``obs`` with the batches in which genes are ranked.
    key_counts : str
        Layer to which the counts are written.

    Raises
    ------
    ConfigError
        If the layer ``key_counts`` already exists.
    CountsError
        If no cell has at least ``min_genes`` expressed genes. No cell is removed in this case.

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
        raise ConfigError(f"layer {key_counts!r} already exists. Choose another name with key_counts=, or delete it.")
    tops = tuple(n for n in percent_top if n <= adata.n_vars)
    settings = Settings(qc_vars, tops, min_genes, min_cells, target_sum, n_top_genes, flavor, batch_key, key_counts)
    copy_if_view(adata)
    calculate_qc_metrics(adata, qc_vars=qc_vars, percent_top=tops, inplace=True)
    check_some_cells_pass(adata.obs["n_genes_by_counts"].to_numpy() >= min_genes, settings)
    (_fused if _fusable(get_rep(adata)) else _by_verbs)(adata, settings)


def check_some_cells_pass(cells: NDArray[np.bool_], s: Settings) -> None:
    """Raise ``CountsError`` if no cell passes the filter; to be called before any cell is removed."""
    if not cells.any():
        raise CountsError(f"none of the {cells.size} cells has {s.min_genes} expressed genes: lower min_genes.")


def _fusable(x: Any) -> bool:
    """Tell whether :func:`_fused` supports the matrix."""
    return is_csr(x) and x.dtype in (np.float32, np.float64) and x.has_canonical_format and x.data.min(initial=0) >= 0


def _by_verbs(adata: AnnData, s: Settings) -> None:
    """Run the steps after the quality metrics one after another."""
    filter_cells(adata, min_genes=s.min_genes)
    filter_genes(adata, min_cells=s.min_cells)
    adata.layers[s.key_counts] = adata.X.copy()
    normalize_total(adata, target_sum=s.target_sum)
    log1p(adata)
    _mark_from_matrix(adata, s)


def _mark_from_matrix(adata: AnnData, s: Settings) -> None:
    """Mark variable genes, which reads the matrix again."""
    layer = s.key_counts if s.flavor in ON_COUNTS else None
    options = {"flavor": s.flavor, "n_top_genes": s.n_top_genes, "batch_key": s.batch_key}
    highly_variable_genes(adata, layer=layer, **options)  # type: ignore[arg-type]


def _fused(adata: AnnData, s: Settings) -> None:
    """Run the steps after the quality metrics in two passes over a CSR matrix without negative values.

    Without negative values, the numbers of expressed genes and cells are those of the quality metrics.
    """
    n_genes = adata.obs["n_genes_by_counts"].to_numpy().astype(np.int64)
    cells = n_genes >= s.min_genes
    n_cells = adata.var["n_cells_by_counts"].to_numpy().astype(np.int64)
    if not cells.all():
        removed = Rows.of(adata.X).take(np.flatnonzero(~cells))
        n_cells = n_cells - sums.detected(removed)
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
        mark_from_moments(adata.var, moments, adata.n_obs, s)
        adata.uns["hvg"] = {"flavor": s.flavor}
    else:
        _mark_from_matrix(adata, s)


def mark_from_moments(var: pd.DataFrame, moments: NDArray[np.float64], n_cells: int, s: Settings) -> None:
    """Mark variable genes from the sums Σv and Σv² of each gene over all cells, ``(genes, 2)``."""
    table = one_batch(*mean_var(moments, n_cells), s.flavor, 20, s.n_top_genes)
    write_columns(var, table, ["highly_variable", "means", "dispersions", "dispersions_norm"])
