"""``scae correlation``."""

from __future__ import annotations

import argparse
from typing import Any

from .. import threads, tl
from ..io.writer import check_output
from .files import read, separator_of, write_text
from .options import add_model_options, fit_options, preset_from


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", help="h5ad file or .zarr store with raw counts")
    parser.add_argument("output", help="table to write, .csv or .tsv: one row per pair of genes")
    parser.add_argument("--genes", nargs="+", required=True, metavar="GENE", help="genes to correlate, at least two")
    parser.add_argument("--n-samples", type=int, default=20, metavar="N", help="draws over which r is averaged (20)")
    parser.add_argument("--n-permuted", type=int, default=20, metavar="N", help="permuted copies of each gene, at least 3 (20)")
    add_model_options(parser, "denoiser")


def run(args: argparse.Namespace) -> dict[str, Any]:
    separator = separator_of(args.output)
    check_output(args.output)
    preset = preset_from(args)
    with threads.use(args.threads):
        options = {"n_samples": args.n_samples, "n_permuted": args.n_permuted} | fit_options(args)
        table = tl.correlation(read(args.input), args.genes, preset, **options)
    write_text(args.output, table.to_csv(index=False, sep=separator))
    return {"output": args.output, "pairs": len(table), "significant": int((table["q"] < 0.05).sum())}
