"""``scae cluster``."""

from __future__ import annotations

import argparse
from typing import Any

from .. import tl
from . import applying


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key-added", default="scae_cluster", metavar="KEY", help="obs key to write (scae_cluster)")
    parser.add_argument(
        "--n-clusters", type=int, metavar="N", help="number of clusters; without it, as many as --resolution gives"
    )
    parser.add_argument("--n-fits", type=int, default=3, metavar="N", help="fits that the consensus is made of (3)")
    parser.add_argument("--resolution", type=float, default=0.4, metavar="R", help="resolution of the Leiden algorithm (0.4)")
    parser.add_argument("--n-neighbors", type=int, default=15, metavar="N", help="neighbours of each cell in the graph (15)")
    applying.add_arguments(parser, default="scdha")


def run(args: argparse.Namespace) -> dict[str, Any]:
    names = ("key_added", "n_clusters", "n_fits", "resolution", "n_neighbors")
    return applying.run(args, tl.cluster, **{name: getattr(args, name) for name in names})
