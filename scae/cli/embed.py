"""``scae embed``."""

from __future__ import annotations

import argparse
from typing import Any

from .. import tl
from . import applying


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key-added", default="X_scae", metavar="KEY", help="obsm key to write (X_scae)")
    parser.add_argument("--with-sd", action="store_true", help="also write the posterior standard deviation to obsm")
    parser.add_argument(
        "--calibrated-sd",
        dest="with_sd",
        action="store_const",
        const="calibrated",
        help="the same, scaled by how much the latents of two halves of a cell's counts differ",
    )
    applying.add_arguments(parser, default="vae")


def run(args: argparse.Namespace) -> dict[str, Any]:
    return applying.run(args, tl.embed, key_added=args.key_added, with_sd=args.with_sd)
