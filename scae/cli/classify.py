"""``scae classify``."""

from __future__ import annotations

import argparse
from typing import Any

from .. import tl
from ..tl._classify import METHODS
from . import applying


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--labels", metavar="KEY", help="obs column with the known labels; cells without a value are labelled")
    parser.add_argument("--key-added", default="scae_label", metavar="KEY", help="obs key to write (scae_label)")
    parser.add_argument(
        "--method", default="knn", choices=METHODS, help="vote of the nearest labelled cells, or the prior label_normal (knn)"
    )
    parser.add_argument("--n-neighbors", type=int, default=10, metavar="N", help="labelled neighbours that vote (10)")
    parser.add_argument("--with-probabilities", action="store_true", help="also write the probability of every label to obsm")
    applying.add_arguments(parser, default="scdha")


def run(args: argparse.Namespace) -> dict[str, Any]:
    names = ("labels", "method", "n_neighbors", "key_added", "with_probabilities")
    return applying.run(args, tl.classify, **{name: getattr(args, name) for name in names})
