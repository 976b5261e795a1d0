"""``scae fit``."""

from __future__ import annotations

import argparse
from typing import Any

from .. import threads, tl
from ..model import Autoencoder
from .files import log, read
from .options import add_model_options, fit_options, preset_from


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", help="h5ad file with raw counts")
    parser.add_argument("model", help="model file to write")
    add_model_options(parser, default="vae")


def run(args: argparse.Namespace) -> dict[str, Any]:
    preset = preset_from(args)
    with threads.use(args.threads):
        model = tl.fit(read(args.input), preset, **fit_options(args))
    model.save(args.model)
    log.info("wrote %s", args.model)
    return {"model": args.model} | fit_summary(model)


def fit_summary(model: Autoencoder) -> dict[str, Any]:
    """What the last fit came to, for ``--json``."""
    history = model.fitted.get("history", {"rows": [], "best": -1})
    row = history["rows"][history["best"]] if history["rows"] else {}
    seconds = history["rows"][-1]["seconds"] if history["rows"] else None
    best = {"held_out_nats_per_cell": row.get("held_out"), "epoch": row.get("epoch"), "stopped": history.get("stopped")}
    return {"genes": model.data.n_genes, "latent": model.spec.bottleneck.dim, "seconds": seconds, **best}
