"""``scae interpolate``."""

from __future__ import annotations

import argparse
from typing import Any

from .. import tl
from ..tl._interpolate import PATHS
from . import producing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    producing.add_arguments(parser)
    parser.add_argument(
        "--from", dest="a", required=True, metavar="NAME", help="cell, or group with --groupby, at which to start"
    )
    parser.add_argument("--to", dest="b", required=True, metavar="NAME", help="cell, or group with --groupby, at which to end")
    parser.add_argument("--n", type=int, default=10, metavar="N", help="number of steps, both ends included (10)")
    parser.add_argument("--groupby", metavar="KEY", help="obs column with the groups")
    parser.add_argument("--path", default="straight", choices=PATHS, help="straight, or from cell to cell (straight)")
    parser.add_argument("--n-neighbors", type=int, default=15, metavar="N", help="neighbours to which each cell is joined (15)")
    parser.add_argument("--library-size", type=float, default=1e4, metavar="N", help="library size, counts (10000)")
    parser.add_argument("--at-batch", metavar="LEVEL", help="decode at this batch instead of that of the start")


def run(args: argparse.Namespace) -> dict[str, Any]:
    names = ("a", "b", "n", "groupby", "path", "n_neighbors", "library_size", "at_batch")
    return producing.run(args, tl.interpolate, **{name: getattr(args, name) for name in names})
