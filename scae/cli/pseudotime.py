"""``scae pseudotime``."""

from __future__ import annotations

import argparse
from typing import Any

from .. import tl
from . import applying


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--start", required=True, metavar="CELL", help="name of the cell at which the process begins")
    parser.add_argument("--key-added", default="scae_pseudotime", metavar="KEY", help="obs key to write (scae_pseudotime)")
    parser.add_argument("--n-neighbors", type=int, default=15, metavar="N", help="neighbours to which each cell is joined (15)")
    applying.add_arguments(parser, default="vae")


def run(args: argparse.Namespace) -> dict[str, Any]:
    return applying.run(args, tl.pseudotime, **{name: getattr(args, name) for name in ("start", "key_added", "n_neighbors")})
