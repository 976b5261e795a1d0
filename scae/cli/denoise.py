"""``scae denoise``."""

from __future__ import annotations

import argparse
from typing import Any

from .. import tl
from ..infer import KINDS
from . import applying


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--key-added", default="denoised", metavar="KEY", help="layer to write, or obsm key with --genes (denoised)"
    )
    parser.add_argument(
        "--kind",
        default="mean",
        choices=KINDS,
        help="expected counts at the cell's library size or at --library-size, a draw with the seed --random-state, or "
        "E[log1p(CP10k)] (mean)",
    )
    parser.add_argument(
        "--library-size", type=float, default=1e4, metavar="N", help="library size for --kind rate and log_mean, counts (10000)"
    )
    parser.add_argument(
        "--n-samples", type=int, default=0, metavar="N", help="draws of the latent to average over; 0 decodes its mean (0)"
    )
    parser.add_argument("--genes", nargs="+", metavar="GENE", help="only these genes, as a table in obsm")
    parser.add_argument("--at-batch", metavar="LEVEL", help="decode every cell as if it came from this batch")
    applying.add_arguments(parser, default="denoiser")


def run(args: argparse.Namespace) -> dict[str, Any]:
    names = ("key_added", "kind", "library_size", "n_samples", "genes", "at_batch")
    options = {name: getattr(args, name) for name in names}
    drawn = args.kind == "sample" or args.n_samples > 0
    return applying.run(args, tl.denoise, layer=args.genes is None, drawn=drawn, **options)
