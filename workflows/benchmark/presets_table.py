"""Write the tables of docs/presets.md from benchmark results: ``python presets_table.py presets_rows.jsonl``.

Each row of the input is a JSON object with ``data``, ``method`` ("scae:PRESET"), ``fit_seed`` and the measured values; see
presets_rows.py. If a fit occurs twice, the later row counts. The tables have means over seeds: first over all data sets, then one
table per measure (presets × data sets). The best value of each column is in bold. What each preset reproduces of its original is
read from reproduces.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "presets.md"
START, END = "<!-- tables: made by workflows/benchmark/presets_table.py -->", "<!-- end of tables -->"
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
    if measure in ("seconds", "seeds"):
        return f"{value:.0f}"
    return f"{value:.3f}".replace("0.", ".", 1).replace("-", "−")


def markdown(table: pd.DataFrame, reproduces: dict[str, str] | None = None) -> str:
    """Markdown table with one row per preset; ``table.attrs["measures"]`` names the measure of each column.

    With ``reproduces``, a last column says of each preset what it reproduces of its original.
    """
    measures = dict(zip(table.columns, table.attrs["measures"], strict=True))
    shown = {name: [number(v, m) for v in table[name]] for name, m in measures.items()}
    for name, m in measures.items():
        if m == "seeds":
            continue
        best = number(table[name].min() if m == "seconds" else table[name].max(), m)
        shown[name] = [f"**{v}**" if v == best else v for v in shown[name]]
    if reproduces is not None:
        measures |= {"Reproduces": "text"}
        shown["Reproduces"] = [reproduces.get(name, "–") for name in table.index]
    lines = ["| preset | " + " | ".join(measures) + " |", "|---" * (len(measures) + 1) + "|"]
    lines += [f"| `{preset}` | " + " | ".join(shown[c][i] for c in measures) + " |" for i, preset in enumerate(table.index)]
    return "\n".join(lines)


def tables(rows: pd.DataFrame, reproduces: dict[str, str]) -> str:
    """All tables as markdown."""
    rows = rows.drop_duplicates(["data", "method", "fit_seed"], keep="last").copy()
    rows["preset"] = rows["method"].str.removeprefix("scae:")
    rows["seconds"] = rows[[c for c in ("denoise_s", "embed_s") if c in rows]].sum(axis=1)
    order = {"index": rows["preset"].unique(), "columns": rows["data"].unique()}
    by_set = {m: rows.pivot_table(index="preset", columns="data", values=m).reindex(**order) for m in MEASURES if m in rows}
    means = pd.DataFrame({MEASURES[m]: table.mean(axis=1) for m, table in by_set.items()})
    means["Seeds"] = rows.groupby("preset")["fit_seed"].nunique()
    means.attrs["measures"] = [*by_set, "seeds"]
    parts = [f"### Means over the sets\n\n{markdown(means, reproduces)}"]
    for m, table in by_set.items():
        kept = table.dropna(axis=1, how="all")
        kept.attrs["measures"] = [m] * kept.shape[1]
        parts.append(f"### {MEASURES[m]}\n\n{markdown(kept)}")
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path)
    rows = pd.read_json(parser.parse_args().rows, lines=True)
    reproduces = json.loads((HERE / "reproduces.json").read_text("utf-8"))
    before, rest = PAGE.read_text("utf-8").split(START)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{START}\n\n{tables(rows, reproduces)}\n\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
