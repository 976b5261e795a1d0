"""``scae fit``."""

from __future__ import annotations

import argparse
from typing import Any

from .. import threads, tl
from .applying import fit_summary
from .files import INPUT, check_model_target, log, read
from .options import add_model_options, fit_options, preset_from


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", help=INPUT)
    parser.add_argument("model", help="model file to write")
    add_model_options(parser, default="vae")


def run(args: argparse.Namespace) -> dict[str, Any]:
    preset = preset_from(args)
    check_model_target(args.model)
    with threads.use(args.threads):
        model = tl.fit(read(args.input), preset, **fit_options(args))
    model.save(args.model)
    log.info("wrote %s", args.model)
    return {"model": args.model} | fit_summary(model)
