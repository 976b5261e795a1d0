"""Score presets on data sets: ``python presets_rows.py SCORER rows.jsonl DATA.h5ad … [--presets vae dca] [--seeds 0 1 2]``.

SCORER is a script that scores one method on one data set, with the arguments ``DATA METHOD --fit-seed N``, and prints a JSON
object with ``data``, ``method``, ``fit_seed`` and the measured values. A row per preset, data set and seed is appended to the
file. Those that the file has already are skipped, so the command can be stopped and repeated; delete the rows of presets that
changed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from pathlib import Path

from scae import presets

PEAKS = ("atac", "conv", "peakvi")  # of presence, not of molecules


def done(rows: Path) -> set[tuple[str, str, int]]:
    """Preset, data set and seed of each row."""
    lines = rows.read_text("utf-8").splitlines() if rows.exists() else []
    return {(row["method"].removeprefix("scae:"), row["data"], row["fit_seed"]) for row in map(json.loads, lines)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scorer", type=Path)
    parser.add_argument("rows", type=Path)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--presets", nargs="+", default=[name for name in presets.names() if name not in PEAKS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    args = parser.parse_args()
    for seed, preset, data in itertools.product(args.seeds, args.presets, args.data):
        if (preset, data.stem, seed) in done(args.rows):
            continue
        command = [sys.executable, str(args.scorer), str(data), f"scae:{preset}", "--fit-seed", str(seed)]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if run.returncode:
            sys.stderr.write(f"{preset} on {data.stem}, seed {seed}: exit {run.returncode}\n")
            continue
        line = run.stdout.strip().splitlines()[-1]
        with args.rows.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        sys.stderr.write(line + "\n")


if __name__ == "__main__":
    main()
