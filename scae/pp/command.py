"""``scae preprocess``: the recipe from the shell."""

from __future__ import annotations

import argparse
import re
from typing import Any

from ..errors import ConfigError
from .files import preprocess_file

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def bytes_of(text: str) -> int:
    """A size such as ``2G`` or ``1500M`` in bytes.

    Examples
    --------
    >>> bytes_of("2G")
    2147483648
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not found:
        raise ConfigError(f"{text!r} is no amount of memory: write a number and K, M, G or T, e.g. 2G.")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of ``scae preprocess``."""
    parser.add_argument("source", help="h5ad file or zarr store with counts in X")
    parser.add_argument("target", help="where the result goes; the ending .zarr makes a zarr store")
    parser.add_argument("--max-memory", default="2G", help="memory the process may take, e.g. 2G (default: %(default)s)")
    parser.add_argument("--qc-vars", nargs="*", default=[], metavar="COLUMN", help="boolean columns of var, e.g. mt")
    parser.add_argument("--percent-top", nargs="*", type=int, default=[50], metavar="N", help="numbers of top genes")
    parser.add_argument("--min-genes", type=int, default=200, help="fewest expressed genes of a cell (default: %(default)s)")
    parser.add_argument("--min-cells", type=int, default=3, help="fewest cells that express a gene (default: %(default)s)")
    parser.add_argument("--target-sum", type=_total, default=1e4, help="total of each cell, or 'median' (default: %(default)s)")
    parser.add_argument("--n-top-genes", type=int, default=2000, help="variable genes to mark (default: %(default)s)")
    flavors = ("seurat", "cell_ranger", "seurat_v3", "seurat_v3_paper", "pearson_residuals")
    parser.add_argument("--flavor", default="seurat", choices=flavors, help="how genes are ranked (default: %(default)s)")
    parser.add_argument("--batch-key", default=None, metavar="COLUMN", help="column of obs: rank genes in each batch")
    parser.add_argument("--key-counts", default="counts", metavar="LAYER", help="layer for the counts (default: %(default)s)")


def _total(text: str) -> float | None:
    return None if text == "median" else float(text)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Carry the command out; a summary that JSON can hold."""
    options = {k: v for k, v in vars(args).items() if k in _OPTIONS}
    return preprocess_file(args.source, args.target, max_memory=bytes_of(args.max_memory), **options)


_OPTIONS = (
    *("qc_vars", "percent_top", "min_genes", "min_cells", "target_sum"),
    *("n_top_genes", "flavor", "batch_key", "key_counts"),
)
