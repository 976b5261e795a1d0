"""``scae check``."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from ..checks import check
from ..io.advice import for_shell
from .files import INPUT, read
from .options import add_keys, key_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", help=INPUT)
    parser.add_argument("--fractions", action="store_true", help="accept values that are not whole numbers (likelihood quasi_nb)")
    add_keys(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    report = check(read(args.input), fractions=args.fractions, **key_options(args))
    report.findings = [replace(f, message=for_shell(f.message, args.input)) for f in report.findings]
    if not args.json:
        print(report)
    findings = [{"level": f.level, "message": f.message} for f in report.findings]
    return {"ok": report.ok, "about": report.about, "findings": findings}
