"""Neighbours, Leiden clusters and UMAP, computed on the latent."""

import sys

import matplotlib
import numpy as np
import scanpy as sc
from snakemake.script import snakemake

matplotlib.use("Agg")
import matplotlib.pyplot as plt

sys.stderr = sys.stdout = open(snakemake.log[0], "w", buffering=1)
wanted = snakemake.params

adata = sc.read_h5ad(snakemake.input[0])
adata.layers["log_normalized"] = adata.X.copy()  # X keeps the counts
sc.pp.normalize_total(adata, target_sum=1e4, layer="log_normalized")
sc.pp.log1p(adata, layer="log_normalized")

sc.pp.neighbors(adata, n_neighbors=wanted.n_neighbors, use_rep="X_scae", random_state=wanted.seed)
sc.tl.leiden(adata, resolution=wanted.resolution, flavor="igraph", n_iterations=2, directed=False, random_state=wanted.seed)
sc.tl.umap(adata, random_state=wanted.seed)
adata.write_h5ad(snakemake.output.adata, compression="lzf")

panels = ["leiden", "total_counts", *wanted.covariates]
shuffled = adata[np.random.default_rng(wanted.seed).permutation(adata.n_obs)]  # so that no sample covers the others
fig, axes = plt.subplots(1, len(panels), figsize=(5.2 * len(panels), 4.4), layout="constrained", squeeze=False)
on_data = {"legend_loc": "on data", "legend_fontsize": 8, "legend_fontoutline": 2}
for ax, key in zip(axes.flat, panels, strict=True):
    sc.pl.umap(shuffled, color=key, ax=ax, show=False, frameon=False, **(on_data if key == "leiden" else {}))
fig.savefig(snakemake.output.plot, dpi=150)
