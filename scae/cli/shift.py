"""``scae shift``."""

from __future__ import annotations

import argparse
from typing import Any

from .. import tl
from . import producing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    producing.add_arguments(parser)
    parser.add_argument("--condition-key", required=True, metavar="KEY", help="obs column with the condition")
    parser.add_argument("--source", required=True, metavar="LEVEL", help="condition from which cells are moved")
    parser.add_argument("--target", required=True, metavar="LEVEL", help="condition to which cells are moved")
    parser.add_argument("--label-key", metavar="KEY", help="obs column with the cell type")
    parser.add_argument("--label", metavar="LEVEL", help="only move cells of this type")
    parser.add_argument("--library-size", type=float, metavar="N", help="library size, counts (that of each cell)")
    parser.add_argument("--min-support", type=float, default=0.01, metavar="P", help="refuse a lower median support (0.01)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    names = ("source", "target", "label", "label_key", "library_size", "min_support")
    return producing.run(args, tl.shift, args.condition_key, **{name: getattr(args, name) for name in names})
