"""Split the molecules of the modelled genes: nine tenths to fit, one tenth to score."""

import sys

import scanpy as sc
import scipy.sparse as sp
from snakemake.script import snakemake

from scae.evaluate import split

sys.stderr = sys.stdout = open(snakemake.log[0], "w", buffering=1)

adata = sc.read_h5ad(snakemake.input[0])
adata = adata[:, adata.var["highly_variable"]]
fold = split(sp.csr_matrix(adata.X), 0.9, snakemake.params.seed)
seen = adata[fold.cells].copy()
seen.layers["train"], seen.layers["test"], seen.uns["odds"] = fold.train, fold.test, fold.odds
seen.write_h5ad(snakemake.output[0])
