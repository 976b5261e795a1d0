"""``scae denoise``."""

from __future__ import annotations

import argparse
from typing import Any

from .. import tl
from ..tl._kinds import KINDS
from . import applying


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--key-added", default="denoised", metavar="KEY", help="layer to write, or obsm key with --genes (denoised)"
    )
    parser.add_argument(
        "--kind",
        default="mean",
        choices=KINDS,
        help="mean: expected counts of cells like this one; posterior: the same, corrected by the cell's own count; rate: the "
        "mean at a library size of 10000; log_mean, posterior_log_mean: E[log1p(CP10k)]; sample: a draw, seeded (mean)",
    )
    parser.add_argument(
        "--library-size", type=float, metavar="N",
        help="library size at which counts are expected (each cell's own; 10000 for rate and log means)",
    )  # fmt: skip
    parser.add_argument("--with-sd", action="store_true", help="also write the posterior's standard deviation (--kind posterior)")
    parser.add_argument(
        "--technical-cv2", type=_number_or_name, default=0.0, metavar="CV2",
        help="technical part of the overdispersion, or spike-ins to estimate it from: a boolean var column or an obsm key (0)",
    )  # fmt: skip
    parser.add_argument(
        "--n-samples", type=int, default=0, metavar="N", help="draws of the latent to average over; 0 decodes its mean (0)"
    )
    parser.add_argument("--genes", nargs="+", metavar="GENE", help="only these genes, as a table in obsm")
    parser.add_argument("--at-batch", metavar="LEVEL", help="decode every cell as if it came from this batch")
    applying.add_arguments(parser, default="denoiser")


def run(args: argparse.Namespace) -> dict[str, Any]:
    names = ("key_added", "kind", "library_size", "n_samples", "with_sd", "technical_cv2", "genes", "at_batch")
    options = {name: getattr(args, name) for name in names}
    drawn = args.kind == "sample" or args.n_samples > 0
    return applying.run(args, tl.denoise, layer=args.genes is None, drawn=drawn, **options)


def _number_or_name(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
