"""The standard preprocessing workflow in one call."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from ..errors import ConfigError
from ..kernels import sums
from ..kernels.rows import Rows
from ._arguments import refuse_backed_change
from ._calculate_qc_metrics import calculate_qc_metrics
from ._calls import copy_if_view
from ._contract import need_counts
from ._dispersion import one_batch
from ._fused import log_normalised
from ._highly_variable_genes import highly_variable_genes, mark_kept, write_columns
from ._log1p import log1p
from ._lone_spikes import lone_spike_genes, with_lone_spikes
from ._matrix import get_rep, is_csr, summed
from ._moments import Groups, group_sums, mean_var
from ._normalize_total import median_total, normalize_total
from ._settings import Settings, check_some_pass, warn_replaced
from ._slots import check_slots
from ._subset import as_scipy, subset

ON_COUNTS = ("seurat_v3", "seurat_v3_paper", "pearson_residuals")


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
    lone_spikes: str = "keep",
    keep_genes: Collection[str] = (),
) -> None:
    """Compute quality metrics, filter, normalise, log-transform and mark variable genes, in place.

    The result is that of ``calculate_qc_metrics``, ``filter_cells(min_genes)``, ``filter_genes(min_cells)``, copying the counts
    to a layer, ``normalize_total``, ``log1p`` and ``highly_variable_genes``, in this order, but with fewer passes over the data.
    Values that are not counts are refused as in :func:`scae.check`. After an error, ``adata`` is unchanged.

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
    lone_spikes : {"keep", "drop"}
        Whether genes with a lone spike may be marked, as in ``highly_variable_genes``. They stay in ``adata``.
    keep_genes : sequence of str
        Genes that are marked in addition to the variable ones, e.g. markers, and not removed by ``min_cells``: models are fitted
        to the marked genes only.

    Raises
    ------
    ConfigError
        If an option has a value that is not allowed, or the layer ``key_counts`` already exists.
    CountsError
        If ``X`` does not hold counts, if cells have no batch, or if no cell has at least ``min_genes`` expressed genes or no gene
        is expressed in ``min_cells`` cells, or if all have a lone spike and are to be left out.
    MissingKeyError
        If a column, or a gene to keep, does not exist.
    MatrixError
        If the arrays of a sparse matrix contradict each other, or the matrix is backed (then also a ``NotImplementedError``).

    Warns
    -----
    UserWarning
        If columns of ``obs`` or ``var`` existed and now have other values.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> counts = np.random.default_rng(0).poisson(1.0, (60, 40)).astype("float32")
    >>> adata = anndata.AnnData(counts)
    >>> recipe(adata, min_genes=5, n_top_genes=10, percent_top=())
    >>> sorted(adata.layers), "highly_variable" in adata.var
    (['counts'], True)
    """
    x = get_rep(adata, "recipe")
    refuse_backed_change(adata, "recipe", whole=True)
    settings = Settings(
        qc_vars, percent_top, min_genes, min_cells, target_sum, n_top_genes, flavor, batch_key, key_counts, lone_spikes,
        keep_genes,
    ).checked(adata.obs, adata.var)  # fmt: skip
    if key_counts in adata.layers:
        raise ConfigError(
            f"layers[{key_counts!r}] already exists. Choose another name with key_counts=, or delete it with "
            f"`del adata.layers[{key_counts!r}]`."
        )
    check_slots(adata)
    need_counts(adata, x, None)
    x = summed(x)
    metrics = AnnData(x, obs=adata.obs[[]], var=adata.var[list(settings.qc_vars)])
    tables = calculate_qc_metrics(metrics, qc_vars=settings.qc_vars, percent_top=settings.percent_top)
    assert tables is not None
    passing = _passing(x, *tables, settings)
    check_some_pass(*passing, settings)
    if settings.lone_spikes == "drop":
        lone_spike_genes(x, *passing)  # refuses before anything is changed
    copy_if_view(adata)
    before = {"obs": adata.obs[passing[0]], "var": adata.var[passing[1]]}
    _write(adata, x, tables, passing)
    (_fused if is_csr(adata.X) and adata.X.dtype in (np.float32, np.float64) else _by_verbs)(adata, settings)
    warn_replaced(before, {"obs": adata.obs, "var": adata.var})


def _passing(x: Any, cells: pd.DataFrame, genes: pd.DataFrame, s: Settings) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Add the columns ``n_genes`` and ``n_cells`` to the quality metrics; return which cells and genes pass the filters.

    Counts are not negative, so the numbers of expressed genes and cells are those of the quality metrics.
    """
    cells["n_genes"] = n_genes = cells["n_genes_by_counts"].to_numpy().astype(np.int64)
    pass_cells = n_genes >= s.min_genes
    n_cells = genes["n_cells_by_counts"].to_numpy().astype(np.int64)
    if not pass_cells.all() and is_csr(x):
        n_cells = n_cells - sums.detected(Rows.of(x).take(np.flatnonzero(~pass_cells)))
    elif not pass_cells.all():
        removed = Groups(np.where(pass_cells, -1, 0), np.array([int((~pass_cells).sum())]))
        n_cells = n_cells - group_sums(x, removed, sums.POSITIVE).sums[0, :, 1].astype(np.int64)
    genes["n_cells"] = n_cells
    return pass_cells, (n_cells >= s.min_cells) | genes.index.isin(s.keep_genes)


def _write(adata: AnnData, x: Any, tables: tuple[pd.DataFrame, pd.DataFrame], passing: tuple[Any, Any]) -> None:
    """Write the quality metrics, and keep the cells and genes that pass."""
    for table, columns in zip((adata.obs, adata.var), tables, strict=True):
        for name in columns:
            table[name] = columns[name].to_numpy()
    if x is not adata.X:
        adata.X = x
    subset(adata, *passing)


def _by_verbs(adata: AnnData, s: Settings) -> None:
    """Run the steps after the filters one after another."""
    adata.layers[s.key_counts] = adata.X  # the same memory: normalize_total copies it
    normalize_total(adata, target_sum=s.target_sum)
    log1p(adata)
    _mark_from_matrix(adata, s)


def _mark_from_matrix(adata: AnnData, s: Settings) -> None:
    """Mark variable genes, which reads the matrix again."""
    layer = s.key_counts if s.flavor in ON_COUNTS else None
    highly_variable_genes(adata, layer=layer, **s.options)


def _fused(adata: AnnData, s: Settings) -> None:
    """Run the steps after the filters in one pass over a CSR matrix of floats."""
    adata.layers[s.key_counts] = adata.X
    m = Rows.of(adata.X)
    totals = sums.rows(m)[:, 0].astype(m.data.dtype)
    factors = totals / (median_total(totals) if s.target_sum is None else s.target_sum)
    values, moments = log_normalised(m, np.where(factors == 0, 1, factors), moments_of_logs=s.flavor == "cell_ranger")
    adata.X = as_scipy(m._replace(data=values, indices=m.indices.copy(), indptr=m.indptr.copy()), adata.X)
    adata.uns["log1p"] = {"base": None}
    if s.one_pass:
        lone = lone_spike_genes(adata.layers[s.key_counts]) if s.lone_spikes == "drop" else None
        mark_from_moments(adata.var, moments, adata.n_obs, s, lone)
        adata.uns["hvg"] = {"flavor": s.flavor}
    else:
        _mark_from_matrix(adata, s)


def mark_from_moments(
    var: pd.DataFrame, moments: NDArray[np.float64], n_cells: int, s: Settings, lone: NDArray[np.bool_] | None
) -> None:
    """Mark variable genes from the sums Σv and Σv² of each gene over all cells, ``(genes, 2)``, but none that is ``lone``."""
    kept = slice(None) if lone is None else ~lone
    table = one_batch(*mean_var(moments[kept], n_cells), s.flavor, 20, s.n_top_genes)
    columns = ["highly_variable", "means", "dispersions", "dispersions_norm"]
    if lone is not None:
        table, columns = with_lone_spikes(table, lone, var.index), [*columns, "lone_spike"]
    mark_kept(table, var.index, list(s.keep_genes))
    write_columns(var, table, columns)
