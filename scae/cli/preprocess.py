"""``scae preprocess``: quality metrics, filters, normalisation and variable genes, from file to file."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..errors import ConfigError, ModelFileError
from ..pp import preprocess_file
from . import foreign
from .files import check_target

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def bytes_of(text: str) -> int:
    """Convert a size such as ``2G`` or ``1500M`` to bytes.

    Raises
    ------
    ConfigError
        If the text is not a size.

    Examples
    --------
    >>> bytes_of("2G")
    2147483648
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not match:
        raise ConfigError(f"{text!r} is not an amount of memory. Give a number followed by K, M, G or T, e.g. 2G.")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``scae preprocess``."""
    parser.add_argument("source", help="h5ad file or zarr store with counts in X, 10x .h5 or folder, loom, or table of text")
    parser.add_argument("target", help="file for the result; a zarr store if the name ends in .zarr")
    parser.add_argument("--max-memory", default="2G", help="memory that the process may use, e.g. 2G (default: %(default)s)")
    parser.add_argument(
        "--qc-vars", nargs="*", default=[], metavar="COLUMN", help="boolean columns of var that mark sets of genes, e.g. mt"
    )
    percent_help = "percentage of each cell's counts in its N most abundant genes (default: 50)"
    parser.add_argument("--percent-top", nargs="*", type=int, default=[50], metavar="N", help=percent_help)
    parser.add_argument("--min-genes", type=int, default=200, help="remove cells with fewer genes (default: %(default)s)")
    parser.add_argument("--min-cells", type=int, default=3, help="remove genes in fewer cells (default: %(default)s)")
    total_help = "total count of each cell after normalisation, or 'median' (default: %(default)s)"
    parser.add_argument("--target-sum", type=_total, default=1e4, help=total_help)
    parser.add_argument("--n-top-genes", type=int, default=2000, help="number of variable genes (default: %(default)s)")
    flavors = ("seurat", "cell_ranger", "seurat_v3", "seurat_v3_paper", "pearson_residuals")
    parser.add_argument(
        "--flavor", default="seurat", choices=flavors, help="how variable genes are ranked (default: %(default)s)"
    )
    parser.add_argument(
        "--batch-key", default=None, metavar="COLUMN", help="column of obs with the batches in which genes are ranked"
    )
    parser.add_argument(
        "--key-counts", default="counts", metavar="LAYER", help="layer to which the counts are written (default: %(default)s)"
    )
    lone_help = "drop: do not mark genes whose greatest count, of at least 10, is over 4 times the second (default: %(default)s)"
    parser.add_argument("--lone-spikes", default="keep", choices=("keep", "drop"), help=lone_help)
    keep_help = "mark these genes, e.g. markers, in addition to the variable ones, so that they are modelled"
    parser.add_argument("--keep-genes", nargs="+", default=[], metavar="GENE", help=keep_help)


def _total(text: str) -> float | None:
    """Parse the argument of ``--target-sum``; None stands for the median."""
    return None if text == "median" else float(text)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Run the command; return a summary that can be written as JSON."""
    options = {name: value for name, value in vars(args).items() if name in _OPTIONS}
    options["max_memory"] = bytes_of(args.max_memory)
    try:
        return preprocess_file(args.source, args.target, **options)
    except ModelFileError:
        adata = foreign.read(Path(args.source))
        if adata is None:
            raise
    check_target(args.target)
    with TemporaryDirectory(dir=Path(args.target).absolute().parent, prefix=".") as folder:  # by way of an h5ad file
        adata.write_h5ad(Path(folder) / "counts.h5ad")
        return preprocess_file(Path(folder) / "counts.h5ad", args.target, **options) | {"source": args.source}


_OPTIONS = (
    *("qc_vars", "percent_top", "min_genes", "min_cells", "target_sum"),
    *("n_top_genes", "flavor", "batch_key", "key_counts", "lone_spikes", "keep_genes"),
)
