"""``scae decode``."""

from __future__ import annotations

import argparse
from typing import Any

from .. import tl
from ..decoding import KINDS
from . import producing
from .files import read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    producing.add_arguments(parser, "h5ad file or .zarr store with latents in obsm")
    parser.add_argument("--key", default="X_scae", metavar="KEY", help="obsm key of the latents (X_scae)")
    parser.add_argument(
        "--kind",
        default="rate",
        choices=KINDS,
        help="rate, mean: expected counts; sample: a draw; log_mean: E[log1p(CP10k)] (rate)",
    )
    parser.add_argument(
        "--library-size", type=float, metavar="N", help="library size, counts (of each cell for mean and sample, otherwise 10000)"
    )
    parser.add_argument("--at-batch", metavar="LEVEL", help="decode at this batch instead of each cell's own")
    parser.add_argument("--genes", nargs="+", metavar="GENE", help="only these genes")
    parser.add_argument(
        "--reference", metavar="FILE", help="cells with raw counts, to write to obs how near each latent is to theirs"
    )
    parser.add_argument("--random-state", type=int, default=0, help="seed of a draw (0)")


def run(args: argparse.Namespace) -> dict[str, Any]:
    names = ("key", "kind", "library_size", "at_batch", "genes", "random_state")
    reference = None if args.reference is None else read(args.reference)
    return producing.run(args, tl.decode, reference=reference, **{name: getattr(args, name) for name in names})
