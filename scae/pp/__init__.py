"""Preprocessing on AnnData: scanpy's names, arguments and numbers, in one pass over the counts where one is enough."""

from .depth import size_factors
from .deviance import rank_by_deviance
from .files import preprocess_file
from .filters import filter_cells, filter_genes
from .logarithm import log1p
from .normalize import normalize_total
from .quality import calculate_qc_metrics
from .recipe import recipe
from .sampling import downsample_counts, thin_counts
from .scaling import scale
from .variable import highly_variable_genes

__all__ = [
    "calculate_qc_metrics",
    "downsample_counts",
    "filter_cells",
    "filter_genes",
    "highly_variable_genes",
    "log1p",
    "normalize_total",
    "preprocess_file",
    "rank_by_deviance",
    "recipe",
    "scale",
    "size_factors",
    "thin_counts",
]
