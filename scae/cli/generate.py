"""``scae generate``."""

from __future__ import annotations

import argparse
from typing import Any

from .. import tl
from ..tl._generate import PRIORS
from . import producing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    producing.add_arguments(parser, "h5ad file or .zarr store with raw counts of the cells that new ones should resemble")
    parser.add_argument("--n", type=int, default=1000, metavar="N", help="number of cells to draw (1000)")
    parser.add_argument("--label", metavar="LEVEL", help="only cells of this label")
    parser.add_argument("--label-key", metavar="KEY", help="obs column with labels, within which latents are drawn")
    parser.add_argument("--batch", metavar="LEVEL", help="only cells of this batch")
    parser.add_argument("--library-size", type=float, metavar="N", help="library size, counts (like those of the cells)")
    parser.add_argument(
        "--prior",
        default="aggregate",
        choices=PRIORS,
        help="latents like those of the cells, or from the model's prior (aggregate)",
    )
    parser.add_argument("--random-state", type=int, default=0, help="seed (0)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    names = ("n", "label", "label_key", "batch", "library_size", "prior", "random_state")
    return producing.run(args, tl.generate, **{name: getattr(args, name) for name in names})
