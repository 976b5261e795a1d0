"""Tabulate and plot the scores of all fits of the sweep."""

import sys

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
from snakemake.script import snakemake

matplotlib.use("Agg")
sys.stderr = sys.stdout = open(snakemake.log[0], "w", buffering=1)

table = pd.concat([pd.read_csv(path, sep="\t") for path in snakemake.input])
table.sort_values("explained", ascending=False).to_csv(snakemake.output.table, sep="\t", index=False)

colors = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]  # Okabe & Ito
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for i, (preset, own) in enumerate(table.groupby("preset")):
    own = own.sort_values("dim")
    ax.errorbar(
        own["dim"], own["explained"], own["standard_error"], label=preset, color=colors[i % 7], marker="osD^v"[i % 5], capsize=3
    )
ax.axhline(0, color="grey", lw=0.8)
ax.set(xlabel="size of the latent", ylabel="share of held-out deviance explained")
ax.set_xticks(sorted(table["dim"].unique()))
ax.legend(title="preset", frameon=False)
fig.savefig(snakemake.output.plot, dpi=150)
