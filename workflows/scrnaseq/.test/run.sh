#!/usr/bin/env bash
# Run the workflow from raw files to the report, on two cores: run.sh [FOLDER]  (default: .test/out)
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-.test/out}
mkdir -p "$out"
cp -r .test/config "$out/"
python .test/make_data.py "$out/data"

snakefmt --check workflow
snakemake --lint --directory "$out"
snakemake --dry-run --quiet --directory "$out"
snakemake --cores 2 --directory "$out"
snakemake --report report.zip --directory "$out"
