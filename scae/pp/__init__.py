"""Preprocessing of AnnData with the names, arguments and results of scanpy, in as few passes over the counts as possible."""

from ._calculate_qc_metrics import calculate_qc_metrics
from ._downsample_counts import downsample_counts
from ._filter_cells import filter_cells
from ._filter_genes import filter_genes
from ._highly_variable_genes import highly_variable_genes
from ._log1p import log1p
from ._normalize_total import normalize_total
from ._preprocess_file import preprocess_file
from ._rank_by_deviance import rank_by_deviance
from ._recipe import recipe
from ._scale import scale
from ._size_factors import size_factors
from ._thin_counts import thin_counts

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


def __dir__() -> list[str]:
    return __all__
