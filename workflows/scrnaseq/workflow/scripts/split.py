"""Split the molecules of the modelled genes: nine tenths to fit, one tenth to score."""

import sys

import scanpy as sc
from snakemake.script import snakemake

import scae

sys.stderr = sys.stdout = open(snakemake.log[0], "w", buffering=1)

adata = sc.read_h5ad(snakemake.input[0])
adata = adata[:, adata.var["highly_variable"]].copy()
scae.pp.thin_counts(adata, 0.9, random_state=snakemake.params.seed)
adata[adata.layers["train"].sum(1).A1 > 0].copy().write_h5ad(snakemake.output[0])
