"""Mark highly variable genes, with any of the flavours."""

from __future__ import annotations

import warnings
from collections.abc import Collection

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from ..errors import unknown
from ._arguments import batches, need_flavor, need_genes, need_lone_spikes, need_number, need_whole, refuse_backed_change
from ._calls import old_positionals
from ._dispersion import Cutoffs, by_dispersion
from ._loess import by_loess
from ._lone_spikes import lone_spike_genes, with_lone_spikes
from ._matrix import SomeGenes, get_rep
from ._moments import Ranked
from ._pearson import by_residuals
from ._slots import check_slots
from ._subset import subset as subset_adata

_LIMITS = {"min_disp": 0.5, "max_disp": np.inf, "min_mean": 0.0125, "max_mean": 3}


@old_positionals(
    *("layer", "n_top_genes", "min_disp", "max_disp", "min_mean", "max_mean", "span", "n_bins"),
    *("flavor", "subset", "inplace", "batch_key", "check_values"),
)
def highly_variable_genes(
    adata: AnnData,
    *,
    layer: str | None = None,
    n_top_genes: int | None = None,
    min_disp: float = _LIMITS["min_disp"],
    max_disp: float = _LIMITS["max_disp"],
    min_mean: float = _LIMITS["min_mean"],
    max_mean: float = _LIMITS["max_mean"],
    span: float = 0.3,
    n_bins: int = 20,
    flavor: str = "seurat",
    subset: bool = False,
    inplace: bool = True,
    batch_key: str | None = None,
    check_values: bool = True,
    theta: float = 100,
    clip: float | None = None,
    chunksize: int = 1000,
    lone_spikes: str = "keep",
    key_counts: str = "counts",
    keep_genes: Collection[str] = (),
) -> pd.DataFrame | None:
    """Mark genes that vary more between cells than expected from their mean.

    Drop-in replacement for ``scanpy.pp.highly_variable_genes`` and, with ``flavor="pearson_residuals"``, for
    ``scanpy.experimental.pp.highly_variable_genes``. Unlike in scanpy 1.11, ``pearson_residuals`` clips each batch at the square
    root of its own number of cells, not at that of the batch whose name sorts first; cells without a batch are refused, not left
    out; and ``seurat`` and ``cell_ranger`` accept batches if gene names are not unique.

    Parameters
    ----------
    adata : AnnData
        Cells × genes. ``seurat`` and ``cell_ranger`` expect log1p values; the other flavours expect raw counts.
    layer : str, optional
        Layer to use; ``X`` by default.
    n_top_genes : int, optional
        Number of genes to mark. By default, ``seurat`` and ``cell_ranger`` mark the genes within the four limits below, and
        ``seurat_v3`` and ``seurat_v3_paper`` mark 2000 genes. ``pearson_residuals`` requires it.
    min_disp, max_disp, min_mean, max_mean : float
        Exclusive limits of the normalised dispersion and the mean (``seurat``, ``cell_ranger``). They are ignored if
        ``n_top_genes`` is given.
    span : float
        Share of the genes, from 0 to 1, used for each local fit of the variance (``seurat_v3``, ``seurat_v3_paper``).
    n_bins : int
        Number of bins of the mean (``seurat``).
    flavor : {"seurat", "cell_ranger", "seurat_v3", "seurat_v3_paper", "pearson_residuals"}
        How genes are ranked.
    subset : bool
        Keep only the marked genes.
    inplace : bool
        If true, write to ``adata.var``. If false, return the table.
    batch_key : str, optional
        Column of ``obs`` with the batches. Genes are ranked per batch, and the results of the batches are merged.
    check_values : bool
        Warn if a flavour that expects counts gets values that are not counts.
    theta : float
        Overdispersion parameter θ of the negative binomial null model, whose variance is μ + μ²/θ: a larger θ means less
        overdispersion (``pearson_residuals``).
    clip : float, optional
        Largest absolute residual; by default the square root of the number of cells, or of those in the batch
        (``pearson_residuals``).
    chunksize : int
        Has no effect. It is accepted because scanpy has it.
    lone_spikes : {"keep", "drop"}
        What to do with genes that have a lone spike: a count of at least 10 in one cell that is more than four times the second
        greatest of the gene. ``"keep"`` ranks them as scanpy does, so that most of them are marked. ``"drop"`` marks none of
        them, and ranks the others as if those were not there. Clusters hardly differ on our data sets.
    key_counts : str
        Layer of the counts in which ``lone_spikes="drop"`` looks for them, for ``seurat`` and ``cell_ranger``; the other flavours
        look in the counts that they rank.
    keep_genes : sequence of str
        Genes to mark in addition, whatever their rank, e.g. markers; their other columns are those of the ranking.

    Returns
    -------
    None or DataFrame
        With ``inplace=False``, a table with one row per gene. All flavours give ``highly_variable`` (bool) and ``means``. In
        addition, ``seurat`` and ``cell_ranger`` give ``dispersions`` and ``dispersions_norm``; ``seurat_v3`` and
        ``seurat_v3_paper`` give ``variances``, ``variances_norm`` and ``highly_variable_rank``; ``pearson_residuals`` gives
        ``variances``, ``residual_variances`` and ``highly_variable_rank``. With ``batch_key``, the number of batches that mark
        a gene is ``highly_variable_nbatches``; except for the two ``seurat_v3`` flavours, ``highly_variable_intersection``
        tells whether all batches mark it. With ``lone_spikes="drop"``, ``lone_spike`` (bool) tells which genes were left out;
        their other values are NaN.

    Raises
    ------
    ConfigError
        If ``adata`` is not an AnnData object, the flavour is unknown, or ``n_top_genes``, ``n_bins``, ``span``, ``theta``,
        ``clip`` or ``lone_spikes`` has a value that is not allowed.
    CountsError
        If the flavour expects log1p values and a gene has a mean that is NaN or infinite, if cells have no batch, or if every
        gene has a lone spike and is to be left out.
    MissingKeyError
        If there is no such layer, column or gene.
    MatrixError
        If the arrays of a sparse matrix contradict each other.

    References
    ----------
    ``seurat``: Satija et al. (2015), Nature Biotechnology 33:495.
    ``cell_ranger``: Zheng et al. (2017), Nature Communications 8:14049.
    ``seurat_v3``, ``seurat_v3_paper``: Stuart et al. (2019), Cell 177:1888.
    ``pearson_residuals``: Lause, Berens and Kobak (2021), Genome Biology 22:258.

    Examples
    --------
    >>> import anndata, numpy as np
    >>> counts = np.random.default_rng(0).poisson([0.5, 1, 5, 9, 20], (50, 5)).astype("float32")
    >>> adata = anndata.AnnData(np.log1p(counts))
    >>> highly_variable_genes(adata, n_top_genes=2, n_bins=2)
    >>> int(adata.var["highly_variable"].sum())
    2
    """
    del chunksize
    n_top_genes = _checked(flavor, n_top_genes, n_bins, span, lone_spikes)
    get_rep(adata, "highly_variable_genes", layer=layer, on_disk=True)
    batches(adata.obs, batch_key)
    keep_genes = need_genes("keep_genes", keep_genes, adata.var_names)
    if inplace:
        refuse_backed_change(adata, "highly_variable_genes", whole=subset)
    if subset and inplace:
        check_slots(adata)
    of_logs = flavor in {"seurat", "cell_ranger"}
    lone = _lone(adata, key_counts if of_logs else layer) if lone_spikes == "drop" else None
    data = _ranked(adata, layer, batch_key, lone)
    cutoff: Cutoffs | int | None = None
    if flavor in {"seurat_v3", "seurat_v3_paper"}:
        top = 2000 if n_top_genes is None else n_top_genes
        table, columns = by_loess(data, flavor, top, check_values, span)
    elif flavor == "pearson_residuals":
        table, columns = by_residuals(data, n_top_genes, check_values, theta, clip)
    else:
        cutoff = _cutoff(n_top_genes, min_disp, max_disp, min_mean, max_mean)
        table, columns = by_dispersion(data, flavor, n_bins, cutoff, adata.uns.get("log1p", {}).get("base"))
    if lone is not None:
        table, columns = with_lone_spikes(table, lone, adata.var_names), [*columns, "lone_spike"]
    mark_kept(table, adata.var_names, keep_genes)
    if not inplace:
        if batch_key and isinstance(cutoff, Cutoffs):
            table = table.sort_index(kind="stable")  # as in scanpy
        return table.loc[table["highly_variable"].to_numpy()] if subset else table
    adata.uns["hvg"] = {"flavor": flavor}
    if flavor == "pearson_residuals":
        adata.uns["hvg"]["computed_on"] = layer or "adata.X"
    if batch_key and of_logs:
        adata.strings_to_categoricals()  # as in scanpy
    write_columns(adata.var, table, columns)
    if subset:
        subset_adata(adata, genes=table["highly_variable"].to_numpy())
    return None


def mark_kept(table: pd.DataFrame, names: pd.Index, keep_genes: list[str]) -> None:
    """Mark the genes to keep in a table with one row for each of ``names``."""
    if keep_genes:
        table["highly_variable"] = table["highly_variable"].to_numpy(bool) | names.isin(keep_genes)


def write_columns(var: pd.DataFrame, table: pd.DataFrame, columns: list[str]) -> None:
    """Write columns of the table to ``var`` with the dtypes that scanpy uses."""
    for name in columns:
        values = table[name].to_numpy()
        var[name] = values.astype(np.float32) if name == "dispersions_norm" else values


def _checked(flavor: str, n_top_genes: int | None, n_bins: int, span: float, lone_spikes: str) -> int | None:
    """Refuse values that are not allowed; return the number of genes to mark, if there is one."""
    need_flavor(flavor)
    if n_top_genes is not None:
        n_top_genes = need_whole("n_top_genes", n_top_genes, 1)
    need_whole("n_bins", n_bins, 1)
    need_number("span", span, above=0, most=1)
    need_lone_spikes(lone_spikes)
    return n_top_genes


def _lone(adata: AnnData, layer: str | None) -> NDArray[np.bool_]:
    """Return which genes have a lone spike in ``X`` or a layer of counts."""
    if layer is not None and layer not in adata.layers:
        hint = "lone_spikes='drop' looks at counts: name their layer with key_counts, or leave it out."
        raise unknown("layer", layer, adata.layers, hint=hint)
    return lone_spike_genes(get_rep(adata, "highly_variable_genes", layer=layer, on_disk=True))


def _ranked(adata: AnnData, layer: str | None, batch_key: str | None, lone: NDArray[np.bool_] | None) -> Ranked:
    """Return the genes to rank."""
    x = get_rep(adata, "highly_variable_genes", layer=layer, on_disk=True)
    data = Ranked(x, adata.var_names, batches(adata.obs, batch_key))
    return data if lone is None else data._replace(x=SomeGenes(x, ~lone), names=adata.var_names[~lone])


def _cutoff(n_top_genes: int | None, *limits: float) -> Cutoffs | int:
    """Return the number of genes to mark or, if it is not given, the limits."""
    if n_top_genes is None:
        return Cutoffs(*limits)
    if limits != tuple(_LIMITS.values()):
        warnings.warn("If you pass `n_top_genes`, all cutoffs are ignored.", UserWarning, stacklevel=4)
    return n_top_genes
