"""Make the tables of docs/presets.md from benchmark results: ``python presets_table.py rows.jsonl > tables.md``.

Each row of the input is a JSON object with ``data``, ``method`` ("scae:PRESET") and the measured values. If a fit occurs twice,
the later row counts. The output starts with means over the data sets, followed by one table per measure (presets × data sets).
The best value of each column is in bold.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

MEASURES = {
    "dev": "Deviance explained",
    "km_ari": "k-means ARI",
    "km_nmi": "k-means NMI",
    "leiden_nmi": "Leiden NMI",
    "batch_mix": "Mixing of batches",
    "seconds": "Seconds",
}


def number(value: float, measure: str) -> str:
    if pd.isna(value):
        return "–"
    if measure == "seconds":
        return f"{value:.0f}"
    return f"{value:.3f}".replace("0.", ".", 1).replace("-", "−")


def markdown(table: pd.DataFrame) -> str:
    """Markdown table with one row per preset; ``table.attrs["measures"]`` names the measure of each column."""
    measures = dict(zip(table.columns, table.attrs["measures"], strict=True))
    shown = {name: [number(v, m) for v in table[name]] for name, m in measures.items()}
    for name, m in measures.items():
        best = number(table[name].min() if m == "seconds" else table[name].max(), m)
        shown[name] = [f"**{v}**" if v == best else v for v in shown[name]]
    lines = ["| preset | " + " | ".join(measures) + " |", "|---" * (len(measures) + 1) + "|"]
    lines += [f"| `{preset}` | " + " | ".join(shown[c][i] for c in measures) + " |" for i, preset in enumerate(table.index)]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path)
    rows = pd.read_json(parser.parse_args().rows, lines=True).drop_duplicates(["data", "method"], keep="last")
    rows["preset"] = rows["method"].str.removeprefix("scae:")
    rows["seconds"] = rows[[c for c in ("denoise_s", "embed_s") if c in rows]].sum(axis=1)
    order = {"index": rows["preset"].unique(), "columns": rows["data"].unique()}
    by_set = {m: rows.pivot(index="preset", columns="data", values=m).reindex(**order) for m in MEASURES if m in rows}
    means = pd.DataFrame({MEASURES[m]: table.mean(axis=1) for m, table in by_set.items()})
    means.attrs["measures"] = list(by_set)
    sys.stdout.write(f"### Means over the sets\n\n{markdown(means)}\n")
    for m, table in by_set.items():
        kept = table.dropna(axis=1, how="all")
        kept.attrs["measures"] = [m] * kept.shape[1]
        sys.stdout.write(f"\n### {MEASURES[m]}\n\n{markdown(kept)}\n")


if __name__ == "__main__":
    main()
