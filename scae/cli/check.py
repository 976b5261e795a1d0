"""``scae check``."""

from __future__ import annotations

import argparse
from typing import Any

from ..checks import check
from .files import read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", help="h5ad file")
    parser.add_argument("--layer", help="layer to look at (X)")
    parser.add_argument("--categorical", nargs="+", default=(), metavar="KEY", help="obs columns to be used as categories")
    parser.add_argument("--continuous", nargs="+", default=(), metavar="KEY", help="obs columns to be used as numbers")
    parser.add_argument("--size-factor", metavar="KEY", help="obs column to be used as exposure")
    parser.add_argument("--fractions", action="store_true", help="values need not be whole (likelihood quasi_nb)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    keys = {"categorical": args.categorical, "continuous": args.continuous, "size_factor": args.size_factor}
    report = check(read(args.input), layer=args.layer, fractions=args.fractions, **keys)
    if not args.json:
        print(report)
    findings = [{"level": f.level, "message": f.message} for f in report.findings]
    return {"ok": report.ok, "about": report.about, "findings": findings}
