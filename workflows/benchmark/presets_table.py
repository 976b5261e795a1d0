"""Tables of docs/presets.md, from the rows of a benchmark: ``python presets_table.py rows.jsonl > tables.md``.

A row is a JSON object with ``data``, ``method`` ("scae:PRESET") and what was measured; a later row of the same fit stands in for
an earlier one. One table a measure, presets by data sets, the best of each column in bold; first their means over the sets.
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
    """Presets by columns; ``table.attrs["measures"]`` says what each column measures."""
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
