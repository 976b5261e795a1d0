"""Share of the Poisson deviance of held-out molecules that the model explains beyond library size × gene mean."""

import sys

import pandas as pd
import scanpy as sc
import scipy.sparse as sp
from snakemake.script import snakemake

from scae.evaluate import deviance, explained, matrix_blocks, null

sys.stderr = sys.stdout = open(snakemake.log[0], "w", buffering=1)

adata = sc.read_h5ad(snakemake.input[0])
train, test, odds = sp.csr_matrix(adata.layers["train"]), sp.csr_matrix(adata.layers["test"]), float(adata.uns["odds"])
left = deviance(test, matrix_blocks(adata.layers["denoised"]), odds)
score, error = explained(left, deviance(test, null(train), odds))
row = dict(snakemake.wildcards) | {"explained": score, "standard_error": error, "cells": adata.n_obs}
pd.DataFrame([row]).to_csv(snakemake.output[0], sep="\t", index=False, float_format="%.5f")
