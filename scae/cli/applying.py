"""What the commands that apply a model to a file share: read a file, fit or load a model, write a file."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from anndata import AnnData

from .. import threads
from ..model import Autoencoder
from ..store import load
from .files import INPUT, check_contents, check_model_target, check_room, check_target, read, write
from .options import add_model_options, fit_options, key_options, preset_from, refuse_fit_options


def add_arguments(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("input", help=INPUT)
    parser.add_argument("output", help="h5ad file or .zarr store to write (may be the input)")
    parser.add_argument("--model", metavar="FILE", help="fitted model to apply; without it, a model is fitted")
    parser.add_argument(
        "--save-model", default=argparse.SUPPRESS, metavar="FILE", help="file in which to save the model that is fitted"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace results under that name that scae has no record of")
    add_model_options(parser, default)


def run(
    args: argparse.Namespace, verb: Callable[..., Autoencoder], *, layer: bool = False, drawn: bool = False, **options: Any
) -> dict[str, Any]:
    """Run a verb from file to file.

    ``layer``: what it adds is a dense layer, rather than a few numbers per cell; ``drawn``: it is random, so that a fitted model
    takes a seed.
    """
    check_target(args.output)
    options |= {"overwrite": args.overwrite}
    with threads.use(args.threads):
        if args.model:
            refuse_fit_options(args, drawn=drawn)
            adata, model = _read(args, layer), load(args.model, device=args.device)
            seed = {"random_state": args.random_state} if "random_state" in args else {}
            fitted = verb(adata, model, **options, **key_options(args), **seed)
        else:
            preset = preset_from(args)
            if "save_model" in args:
                check_model_target(args.save_model)
            adata = _read(args, layer)
            fitted = verb(adata, preset, **options, **fit_options(args))
    write(adata, args.output)
    if "save_model" in args:
        fitted.save(args.save_model)
    return {"output": args.output, "key": options["key_added"], "cells": adata.n_obs} | fit_summary(fitted)


def _read(args: argparse.Namespace, layer: bool) -> AnnData:
    """The input, if it could be written to the output together with what is added."""
    adata = read(args.input)
    new = layer and args.key_added not in adata.layers
    check_room(adata, args.output, 4 * adata.n_obs * adata.n_vars if new else 0)
    check_contents(adata, args.output, getattr(args, "genes", None) or ())
    return adata


def fit_summary(model: Autoencoder) -> dict[str, Any]:
    """Summary of a fit for ``--json``: size of the model, best held-out loss, time."""
    history = model.fitted.get("history", {"rows": [], "best": -1})
    row = history["rows"][history["best"]] if history["rows"] else {}
    seconds = history["rows"][-1]["seconds"] if history["rows"] else None
    best = {"held_out_nats_per_cell": row.get("held_out"), "epoch": row.get("epoch"), "stopped": history.get("stopped")}
    best["rolled_back"] = len(history.get("rolled_back", []))
    return {"genes": model.data.n_genes, "latent": model.spec.bottleneck.dim, "seconds": seconds, **best}
