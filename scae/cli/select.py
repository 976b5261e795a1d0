"""``scae select``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd

from .. import config, parts, presets, threads, tl
from ..errors import ConfigError
from ..io.writer import check_output
from ..presets import Preset
from ..tl._choose import ORDERS, summarize
from ..tl._cross_validate import SCORED
from .files import INPUT, log, read, write_text
from .options import add_fit_options, fit_options, parse_option, with_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", help=INPUT)
    known = ", ".join(presets.names())
    parser.add_argument(
        "--presets", default="denoiser,vae", metavar="NAMES", help=f"candidates, separated by commas: {known} (denoiser,vae)"
    )
    parser.add_argument(
        "--configs", nargs="+", default=(), metavar="FILE", help="further candidates: JSON files as for scae fit --config"
    )
    parser.add_argument(
        "--grid", nargs="+", default=[], action="extend", metavar="OPTION=V,V", help="values to try with every candidate, "
        "e.g. bottleneck-dim=8,32 network-hidden=128,128x64",
    )  # fmt: skip
    parser.add_argument("--kind", default="mean", choices=SCORED, help="what predicts them, see scae denoise --help (mean)")
    parser.add_argument("--splits", type=int, default=3, metavar="N", help="random splits of the molecules (3)")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="fits per candidate and split (1)")
    parser.add_argument(
        "--train-share", type=float, default=0.9, metavar="P", help="share of the molecules used for training (0.9)"
    )
    parser.add_argument(
        "--order",
        default="n_parameters",
        metavar="WHAT",
        help=f"prefer the candidate with the smallest of: {', '.join(ORDERS)} (n_parameters)",
    )
    parser.add_argument("--out", metavar="FILE", help="CSV file to write: one row per candidate, split and seed")
    parser.add_argument("--save-config", metavar="FILE", help="JSON file to write: the chosen model, for scae fit --config")
    parser.add_argument("--plot", metavar="FILE", help="plot to write (png, pdf or svg)")
    add_fit_options(parser)


def run(args: argparse.Namespace) -> dict[str, Any]:
    candidates = _candidates(args)
    for path in filter(None, (args.out, args.save_config, args.plot)):
        check_output(path)
    protocol = {"kind": args.kind, "n_splits": args.splits, "n_seeds": args.seeds, "train_share": args.train_share}
    with threads.use(args.threads):
        table = tl.cross_validate(read(args.input), candidates, **protocol, **fit_options(args))
    choice, rows = tl.choose(table, order=args.order), summarize(table, args.order)
    if args.out:
        write_text(args.out, table.to_csv(index=False))
    if args.save_config:
        named = parts.to_dict(candidates[choice.model]) if choice.model else {}
        write_text(
            args.save_config,
            json.dumps({"name": choice.model, "reason": choice.reason} | named, indent=1, ensure_ascii=False) + "\n",
        )
    if args.plot:
        _picture(table, args)
    if not args.json:
        _show(rows, choice)
    scores = {str(name): round(float(row["deviance_explained"]), 6) for name, row in rows.iterrows()}
    return {"chosen": choice.model, "reason": choice.reason, "best": choice.best, "baseline": choice.baseline, "scores": scores}


def _candidates(args: argparse.Namespace) -> dict[str, Preset]:
    if args.order not in ORDERS:
        raise ConfigError(f"--order is {args.order}; allowed: {', '.join(ORDERS)}.")
    values: dict[str, list[Any]] = {}
    for word in args.grid:
        name, equals, listed = word.partition("=")
        if not (equals and listed):
            raise ConfigError(f"--grid has {word!r}; allowed: OPTION=VALUE,VALUE, e.g. bottleneck-dim=8,32.")
        name = name.lstrip("-").replace("-", "_")
        values[name] = [parse_option(name, value) for value in listed.split(",")]
    starts = {name: presets.find(name) for name in args.presets.split(",") if name}
    starts |= {Path(path).stem: config.read_file(path) for path in args.configs}
    candidates: dict[str, Preset] = {}
    for name, start in starts.items():
        varied = tl.grid(with_options(start, args), **values)
        candidates |= {name + label.removeprefix("model"): preset for label, preset in varied.items()}
    return candidates


def _picture(table: pd.DataFrame, args: argparse.Namespace) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from .. import pl

    pl.cross_validation(table, order=args.order, show=False, save=args.plot)
    log.info("wrote %s", args.plot)


def _show(rows: pd.DataFrame, choice: tl.Choice) -> None:
    """Print the candidates, best first, and the choice."""
    width = max(len(str(name)) for name in rows.index)
    print(f"  {'':<{width}}  deviance explained  below the best      parameters")
    for name, row in rows.sort_values("deviance_explained", ascending=False).iterrows():
        score = f"{row['deviance_explained']:.4f} ± {row['se']:.4f}"
        below = f"{row['below_best']:.4f} ± {row['below_best_se']:.4f}" if row["kind"] == "model" else "(baseline)"
        print(f"{'*' if name == choice.model else ' '} {name:<{width}}  {score:<18}  {below:<16}  {row['n_parameters']:>12,.0f}")
    print(f"choice: {choice.model or 'none'}: {choice.reason}")
