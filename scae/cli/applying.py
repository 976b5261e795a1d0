"""What ``scae embed`` and ``scae denoise`` share: a file in, a fitted or fresh model, a file out."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from .. import threads
from ..model import Autoencoder
from ..store import load
from .files import read, write
from .fit import fit_summary
from .options import add_model_options, fit_options, preset_from


def add_arguments(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("input", help="h5ad file with raw counts")
    parser.add_argument("output", help="h5ad file to write (may be the input)")
    parser.add_argument("--model", metavar="FILE", help="a fitted model; without it, one is fitted as the options say")
    parser.add_argument("--save-model", metavar="FILE", help="where to write the model that is fitted")
    add_model_options(parser, default)


def run(args: argparse.Namespace, verb: Callable[..., Autoencoder], **options: Any) -> dict[str, Any]:
    with threads.use(args.threads):
        if args.model:
            adata, model = read(args.input), load(args.model, device=args.device)
            made = verb(adata, model, **options, **({"layer": args.layer} if args.layer else {}))
        else:
            preset = preset_from(args)
            adata = read(args.input)
            made = verb(adata, preset, **options, **fit_options(args))
    write(adata, args.output)
    if args.save_model:
        made.save(args.save_model)
    return {"output": args.output, "key": options["key_added"], "cells": adata.n_obs} | fit_summary(made)
