"""Read one sample in any of the formats and write its counts as h5ad with unique gene names."""

import sys

import scanpy as sc
import scipy.sparse as sp
from snakemake.script import snakemake

sys.stderr = sys.stdout = open(snakemake.log[0], "w", buffering=1)

READ = {"10x_h5": sc.read_10x_h5, "10x_mtx": sc.read_10x_mtx, "h5ad": sc.read_h5ad}

adata = READ[snakemake.params.format](snakemake.input[0])
if "feature_types" in adata.var:  # antibody and guide counts are not transcripts
    adata = adata[:, adata.var["feature_types"] == "Gene Expression"].copy()
adata.var_names_make_unique()
adata.obs_names_make_unique()
prefix = snakemake.params.mito_prefix
adata.var["mt"] = adata.var_names.str.startswith(prefix) if prefix else False
if "counts" in adata.layers:  # the usual place for counts when X is normalised
    adata.X = adata.layers.pop("counts")
adata.X = sp.csr_matrix(adata.X)
for old in (adata.layers, adata.obsm, adata.varm, adata.uns, adata.obsp, adata.varp):
    old.clear()
adata.raw = None
adata.write_h5ad(snakemake.output[0])
