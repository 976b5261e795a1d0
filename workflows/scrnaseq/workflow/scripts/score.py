"""Share of the Poisson deviance of held-out molecules that the model explains beyond library size × gene mean."""

import sys

import numpy as np
import pandas as pd
import scanpy as sc
from scipy.special import xlogy
from snakemake.script import snakemake

sys.stderr = sys.stdout = open(snakemake.log[0], "w", buffering=1)


def deviance(x, mu):
    """Poisson deviance of each cell."""
    mu = np.maximum(mu, 1e-9)
    return 2 * (xlogy(x, x / mu) - x + mu).sum(1)


adata = sc.read_h5ad(snakemake.input[0])
model, null = [], []
library = np.asarray(adata.layers["train"].sum(1))
share = np.asarray(adata.layers["train"].sum(0)) / library.sum()
for start in range(0, adata.n_obs, 1000):  # dense, 1000 cells at a time
    rows = slice(start, start + 1000)
    test = adata.layers["test"][rows].toarray().astype(np.float64)
    model.append(deviance(test, adata.layers["denoised"][rows].astype(np.float64) / 9))
    null.append(deviance(test, library[rows] * share / 9))
model, null = np.concatenate(model), np.concatenate(null)
explained = 1 - model.sum() / null.sum()
# standard error of a ratio of sums over cells
error = np.sqrt(((model - (1 - explained) * null) ** 2).sum()) / null.sum()
found = dict(snakemake.wildcards) | {"explained": explained, "standard_error": error, "cells": adata.n_obs}
pd.DataFrame([found]).to_csv(snakemake.output[0], sep="\t", index=False, float_format="%.5f")
