"""Merge the counts of all samples into one file and mark the variable genes; tabulate and plot the cells that were kept."""

import json
import sys
from pathlib import Path

import anndata as ad
import matplotlib
import pandas as pd
import scanpy as sc
from snakemake.script import snakemake

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import LogFormatter

sys.stderr = sys.stdout = open(snakemake.log[0], "w", buffering=1)
wanted, rows = snakemake.params, []

METRICS = {"total_counts": "counts", "n_genes_by_counts": "genes", "pct_counts_mt": "mitochondrial %"}

cells = {}
for path, summary, (name, row) in zip(snakemake.input.adata, snakemake.input.summaries, wanted.samples.items(), strict=True):
    one = sc.read_h5ad(path)
    one = one[one.obs["pct_counts_mt"] <= wanted.max_pct_mito].copy()
    if not one.n_obs:
        raise SystemExit(f"sample {name}: no cell has max_pct_mito {wanted.max_pct_mito} or less, and min_genes genes.")
    for key in wanted.covariates:
        one.obs[key] = row[key]
    read = json.loads(Path(summary).read_text())["cells"][0]
    medians = {f"median {METRICS[column]}": f"{one.obs[column].median():.4g}" for column in METRICS}
    rows.append({"sample": name, "cells read": read, "cells kept": one.n_obs} | medians)
    cells[name] = ad.AnnData(one.layers["counts"], obs=one.obs[[*METRICS, *wanted.covariates]], var=one.var[[]])

merged = ad.concat(cells, join="inner", index_unique="-")
if not merged.n_vars:
    raise SystemExit("the samples have no gene in common: are their gene names of the same kind?")
merged.obs["sample"] = pd.Categorical(merged.obs["sample"], categories=list(cells))
keep = wanted.genes.get("keep", [])
absent = [name for name in keep if name not in merged.var_names]
if absent:
    raise SystemExit(f"genes.keep names genes that are not in all samples: {', '.join(absent)}.")
enough = sc.pp.filter_genes(merged, min_cells=wanted.genes["min_cells"], inplace=False)[0]
merged = merged[:, enough | merged.var_names.isin(keep)].copy()

ranked = merged.copy()
if wanted.genes["flavor"] != "seurat_v3":  # seurat_v3 ranks genes by their counts
    sc.pp.normalize_total(ranked, target_sum=1e4)
    sc.pp.log1p(ranked)
sc.pp.highly_variable_genes(
    ranked, n_top_genes=min(wanted.genes["n_top"], ranked.n_vars), flavor=wanted.genes["flavor"], batch_key=wanted.batch_key
)
merged.var["highly_variable"] = ranked.var["highly_variable"] | merged.var_names.isin(keep)
merged.write_h5ad(snakemake.output.adata)

pd.DataFrame(rows).to_csv(snakemake.output.table, sep="\t", index=False)
fig, axes = plt.subplots(1, 3, figsize=(12, 0.4 * len(cells) + 2.2), sharey=True, layout="constrained")
for ax, (column, title) in zip(axes, METRICS.items(), strict=True):
    ax.violinplot([merged.obs.loc[merged.obs["sample"] == s, column] for s in cells], vert=False, showmedians=True)
    ax.set(xlabel=f"{title}, per cell", yticks=range(1, len(cells) + 1), yticklabels=list(cells))
    if column != "pct_counts_mt":
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(LogFormatter())
        ax.xaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(1, 0.5)))
axes[0].invert_yaxis()
fig.savefig(snakemake.output.plot, dpi=150)
