"""``scae differential-expression``."""

from __future__ import annotations

import argparse
from typing import Any

from .. import threads, tl
from ..fields import fields
from ..io.writer import check_output
from ..keys import DataKeys
from .files import read, separator_of, write_text
from .options import flag, key_options

_KEYS = ("layer", "batch_key", "categorical_covariates", "size_factor", "mask_var")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", help="h5ad file or .zarr store with raw counts")
    parser.add_argument("output", help="table to write, .csv or .tsv: one row per group and gene")
    parser.add_argument("--groupby", required=True, metavar="KEY", help="column of obs with the groups")
    parser.add_argument("--groups", nargs="+", metavar="GROUP", help="groups to test (all)")
    parser.add_argument("--reference", default="rest", metavar="GROUP", help="group to compare with (rest: all other cells)")
    parser.add_argument(
        "--not-from-counts", action="store_true", help="the groups are known apart from these counts, as conditions are"
    )
    parser.add_argument("--replicate-key", metavar="KEY", help="column of obs with the donor, for a test over donors")
    parser.add_argument("--random-state", type=int, default=0, help="seed (0)")
    parser.add_argument("--threads", type=int, help="number of threads for kernels (by default all that the scheduler grants)")
    for name in _KEYS:
        field = fields(DataKeys)[name]
        several = {"nargs": "+"} if name == "categorical_covariates" else {}
        parser.add_argument(flag(name), default=argparse.SUPPRESS, metavar="KEY", help=field.doc, **several)  # type: ignore[arg-type]


def run(args: argparse.Namespace) -> dict[str, Any]:
    separator = separator_of(args.output)
    check_output(args.output)
    options = {"reference": args.reference, "replicate_key": args.replicate_key, "random_state": args.random_state}
    options |= {"groups": args.groups or "all", "from_counts": not args.not_from_counts, "overwrite": True}
    with threads.use(args.threads):
        table = tl.differential_expression(read(args.input), args.groupby, **options, **key_options(args))
    write_text(args.output, table.to_csv(index=False, sep=separator))
    return {"output": args.output, "groups": table["group"].nunique(), "significant": int((table["pvals_adj"] < 0.05).sum())}
