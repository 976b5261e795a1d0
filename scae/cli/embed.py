"""``scae embed``."""

from __future__ import annotations

import argparse
from typing import Any

from .. import tl
from . import applying


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key-added", default="X_scae", metavar="KEY", help="obsm key to write (X_scae)")
    parser.add_argument(
        "--with-sd", nargs="?", const=True, default=False, metavar="calibrated", help="also write the posterior standard "
        "deviation to obsm; with the word calibrated, scaled to what halves of the same cells show"
    )  # fmt: skip
    applying.add_arguments(parser, default="vae")


def run(args: argparse.Namespace) -> dict[str, Any]:
    return applying.run(args, tl.embed, key_added=args.key_added, with_sd=args.with_sd)
