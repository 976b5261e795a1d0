"""Print how often scae keeps its promises; end with 1 if any is broken once."""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from importlib import import_module

SECTIONS = {
    "inputs": "bad inputs",
    "storage": "storage formats and dtypes",
    "models": "damaged and hostile models",
    "files": "damaged h5ad files and zarr stores",
    "kills": "killed processes",
    "disks": "full disks",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.trust", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"any of {', '.join(SECTIONS)} (all, if none is named)")
    parser.add_argument("--reduced", action="store_true", help="a seeded sample of the cases")
    args = parser.parse_args()
    if unknown := sorted(set(args.sections) - set(SECTIONS)):
        parser.error(f"unknown section {', '.join(unknown)}; allowed: {', '.join(SECTIONS)}")
    warnings.filterwarnings("ignore", "Writing zarr v2")
    broken = 0
    for name in args.sections or SECTIONS:
        start = time.perf_counter()
        figures = list(import_module(f"{__package__}.{name}").figures(reduced=args.reduced))
        print(f"\n{SECTIONS[name]} ({time.perf_counter() - start:.0f} s)", flush=True)
        for figure in figures:
            print(figure, flush=True)
            broken += not figure.kept
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
