"""What ``scae embed`` and ``scae denoise`` share: read a file, fit or load a model, write a file."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from .. import threads
from ..model import Autoencoder
from ..store import load
from .files import check_model_target, check_target, read, write
from .options import add_model_options, fit_options, key_options, preset_from, refuse_fit_options


def add_arguments(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("input", help="h5ad file or .zarr store with raw counts")
    parser.add_argument("output", help="h5ad file or .zarr store to write (may be the input)")
    parser.add_argument("--model", metavar="FILE", help="fitted model to apply; without it, a model is fitted")
    parser.add_argument(
        "--save-model", default=argparse.SUPPRESS, metavar="FILE", help="file in which to save the model that is fitted"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace results under that name that scae has no record of")
    add_model_options(parser, default)


def run(args: argparse.Namespace, verb: Callable[..., Autoencoder], **options: Any) -> dict[str, Any]:
    check_target(args.output)
    options |= {"overwrite": args.overwrite}
    with threads.use(args.threads):
        if args.model:
            refuse_fit_options(args)
            adata, model = read(args.input), load(args.model, device=args.device)
            fitted = verb(adata, model, **options, **key_options(args))
        else:
            preset = preset_from(args)
            if "save_model" in args:
                check_model_target(args.save_model)
            adata = read(args.input)
            fitted = verb(adata, preset, **options, **fit_options(args))
    write(adata, args.output)
    if "save_model" in args:
        fitted.save(args.save_model)
    return {"output": args.output, "key": options["key_added"], "cells": adata.n_obs} | fit_summary(fitted)


def fit_summary(model: Autoencoder) -> dict[str, Any]:
    """Summary of a fit for ``--json``: size of the model, best held-out loss, time."""
    history = model.fitted.get("history", {"rows": [], "best": -1})
    row = history["rows"][history["best"]] if history["rows"] else {}
    seconds = history["rows"][-1]["seconds"] if history["rows"] else None
    best = {"held_out_nats_per_cell": row.get("held_out"), "epoch": row.get("epoch"), "stopped": history.get("stopped")}
    best["rolled_back"] = len(history.get("rolled_back", []))
    return {"genes": model.data.n_genes, "latent": model.spec.bottleneck.dim, "seconds": seconds, **best}
