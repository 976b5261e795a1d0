"""The best weights or the last, of every preset that holds cells out: ``python keep.py rows.jsonl DATA.h5ad … [--seeds 0 1]``.

A preset is fitted to nine tenths of the molecules, once for each value of ``TrainPlan.keep``. The two fits take the same steps,
so where the held-out loss is best at the end, they are one. Rows are appended to the file, and those that it has already are
skipped; the table of all its rows is printed.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score
from uses import read

import scae
from scae import evaluate, presets
from scae.plan import KEPT

MEASURES = {"deviance": "deviance explained", "nmi": "k-means NMI"}


def holding_out() -> list[str]:
    """Presets of molecules that hold cells out."""
    return [name for name in presets.names() if name != "peakvi" and presets.find(name).plan.held_out]


def scored(fold: evaluate.Split, labels: np.ndarray, preset: str, keep: str, seed: int) -> dict:
    """What one fit reaches, and whether the held-out loss was best at its end."""
    made = presets.find(preset)
    adata = AnnData(fold.train.copy())
    model = scae.tl.denoise(adata, replace(made, plan=replace(made.plan, keep=keep)), random_state=seed)
    scae.tl.embed(adata, model)
    blocks = evaluate.matrix_blocks(adata.layers["denoised"])
    left, of_null = (evaluate.deviance(fold.test, b, fold.odds) for b in (blocks, evaluate.null(fold.train)))
    found = [KMeans(len(set(labels)), n_init=3, random_state=s).fit_predict(adata.obsm["X_scae"]) for s in range(3)]
    loss = [row["held_out"] for row in model.fitted["history"]["rows"]]
    return {
        "deviance": evaluate.explained(left, of_null)[0],
        "nmi": float(np.mean([normalized_mutual_info_score(labels, codes) for codes in found])),
        "same": int(np.argmin(loss)) == len(loss) - 1,
    }


@functools.cache
def split(data: Path) -> tuple[evaluate.Split, np.ndarray]:
    """The molecules in two parts, and the cells' labels."""
    adata = read(data)
    fold = evaluate.split(adata.X, 0.9, seed=1000)
    return fold, adata.obs["cell_type"].astype(str).to_numpy()[fold.cells]


def rows_of(data: Path, preset: str, seed: int) -> list[dict]:
    """A row per value of ``keep``."""
    fold, labels = split(data)
    last = scored(fold, labels, preset, "last", seed)
    each = {"last": last, "best": last if last["same"] else scored(fold, labels, preset, "best", seed)}
    return [{"preset": preset, "data": data.stem, "seed": seed, "keep": keep} | found for keep, found in each.items()]


def table(rows: list[dict]) -> str:
    """Both values of both measures for each preset, by set and seed, and the mean difference last − best."""
    frame = pd.DataFrame(rows)
    wide = frame.pivot_table(index=["preset", "data", "seed"], columns="keep", values=list(MEASURES), sort=False)
    counts = frame.drop_duplicates(["preset", "data", "seed"]).groupby("preset")["same"].agg(["sum", "size"])
    columns = [f"{name}, {keep}" for name in MEASURES.values() for keep in KEPT]
    lines = ["| preset | " + " | ".join(columns) + " | fits that were best at the end |", "|---" * 6 + "|"]
    for preset in dict.fromkeys(frame["preset"]):
        means = wide.loc[preset].mean()
        shown = [f"{means[measure, keep]:.4f}".replace("0.", ".", 1).replace("-", "−") for measure in MEASURES for keep in KEPT]
        kept = presets.find(preset).plan.keep
        lines.append(f"| `{preset}` ({kept}) | " + " | ".join(shown) + " | {sum} of {size} |".format(**counts.loc[preset]))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path)
    parser.add_argument("data", type=Path, nargs="*")
    parser.add_argument("--presets", nargs="+", default=holding_out())
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = [json.loads(line) for line in args.rows.read_text("utf-8").splitlines()] if args.rows.exists() else []
    done = {(row["preset"], row["data"], row["seed"]) for row in rows}
    for seed, data, preset in itertools.product(args.seeds, args.data, args.presets):
        if (preset, data.stem, seed) in done:
            continue
        new = rows_of(data, preset, seed)
        rows += new
        with args.rows.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in new)
        print(*new, sep="\n", file=sys.stderr)
    print(table(rows))


if __name__ == "__main__":
    main()
