"""What the commands that write new cells share: read cells, load a fitted model, write what the verb returns."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from anndata import AnnData

from .. import threads
from ..store import load
from .files import check_target, read, write


def add_arguments(parser: argparse.ArgumentParser, cells: str = "h5ad file or .zarr store with raw counts") -> None:
    parser.add_argument("input", help=cells)
    parser.add_argument("output", help="h5ad file or .zarr store to write; it replaces one of that name")
    parser.add_argument("--model", required=True, metavar="FILE", help="fitted model")
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto (auto)")
    parser.add_argument("--threads", type=int, help="number of threads")


def run(args: argparse.Namespace, verb: Callable[..., AnnData], *words: Any, **options: Any) -> dict[str, Any]:
    """Call ``verb(adata, model, *words, **options)`` and write the AnnData that it returns."""
    check_target(args.output)
    with threads.use(args.threads):
        made = verb(read(args.input), load(args.model, device=args.device), *words, **options)
    write(made, args.output)
    summary = {"output": args.output, "cells": made.n_obs, "genes": made.n_vars}
    return summary | ({"support": round(float(made.obs["support"].median()), 6)} if "support" in made.obs and made.n_obs else {})
