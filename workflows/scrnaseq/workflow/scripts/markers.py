"""Marker genes of each cluster against all other cells, tested on observed (not denoised) counts."""

import sys

import matplotlib
import matplotlib.pyplot as plt
import scanpy as sc
from snakemake.script import snakemake

matplotlib.use("Agg")
sys.stderr = sys.stdout = open(snakemake.log[0], "w", buffering=1)
wanted = snakemake.params

adata = sc.read_h5ad(snakemake.input[0])
sizes = adata.obs["leiden"].value_counts()
clusters = [c for c in adata.obs["leiden"].cat.categories if sizes[c] > 1]  # a single cell has no variance
if len(clusters) < 2:
    raise SystemExit(f"there are {len(clusters)} clusters to compare; raise clusters.resolution ({len(adata)} cells).")
adata = adata[adata.obs["leiden"].isin(clusters)].copy()
sc.tl.rank_genes_groups(adata, "leiden", layer="log_normalized", use_raw=False, method=wanted.method, pts=True)

table = sc.get.rank_genes_groups_df(adata, group=None)
table = table[(table["pvals_adj"] <= wanted.max_adjusted_p) & (table["logfoldchanges"] > 0)]
table = table.rename(
    columns={
        "group": "cluster",
        "names": "gene",
        "scores": "score",
        "logfoldchanges": "log2_fold_change",
        "pvals": "p",
        "pvals_adj": "adjusted_p",
        "pct_nz_group": "share_in_cluster",
        "pct_nz_reference": "share_elsewhere",
    }
)
table.to_csv(snakemake.output.table, sep="\t", index=False, float_format="%.4g")

top = {c: g["gene"].head(wanted.n_genes).tolist() for c, g in table.groupby("cluster", observed=True)}
sc.pl.dotplot(
    adata, top, groupby="leiden", layer="log_normalized", use_raw=False, standard_scale="var", show=False,
    colorbar_title="mean, scaled\nby gene",
)  # fmt: skip
plt.savefig(snakemake.output.plot, dpi=150, bbox_inches="tight")
