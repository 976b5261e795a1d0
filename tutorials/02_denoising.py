# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 02 · Denoising: when to, how to tell signal from invention, how to choose the model
#
# A cell holds some hundred thousand messenger molecules; a droplet run counts a few thousand. Most zeros say "not sampled" and not "not
# expressed". A denoiser replaces each count by what a model expects from the cell's *other* genes and from similar cells.
#
# That is a prediction, not a measurement. So this page asks of every result: **would it survive molecules that the model has not
# seen?**
#
# | denoise for | do not denoise for |
# |---|---|
# | pictures of single genes over cells | tests of differential expression |
# | gene–gene scatter, trajectories of marker genes | networks from gene–gene correlations |
# | ordering cells by a weak gene | asking whether a gene is expressed at all in a rare cell |
# | filling in before a method that cannot stand zeros | anything that a latent (tutorial 01) can do: clustering, neighbours |
#
# It runs in about a minute and a half on two cores and downloads nothing.

# %%
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData

import scae

warnings.filterwarnings("ignore", category=FutureWarning)  # remarks of other packages on their own future
warnings.filterwarnings("ignore", message="IProgress not found")  # and on progress bars
plt.rcParams["figure.dpi"] = 80
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#8A8A8A"

adata = scae.datasets.pbmc68k_reduced()
# adata = sc.datasets.pbmc3k(); scae.pp.recipe(adata); adata.X = adata.layers["counts"]  # the real download, 2,000 genes
adata

# %% [markdown]
# ## 1. Denoise
#
# `X` holds raw counts. One call fits the default for denoising and writes `layers["denoised"]`; the counts are never touched.
#
# We give a shorter plan than the default. It saves time, and on data as small as these it is also better: section 4 shows the
# evidence.

# %%
short = scae.TrainPlan(min_steps=500, held_out=0.0)
model = scae.tl.denoise(adata, plan=short, random_state=0)

genes = ["CD3D", "CD79A", "NKG7", "LYZ"]
shown = pd.DataFrame(
    {
        "raw: cells without a count": [(adata[:, g].layers["counts"].toarray() == 0).mean() for g in genes],
        "raw: mean": [adata[:, g].layers["counts"].mean() for g in genes],
        "denoised: mean": [adata[:, g].layers["denoised"].mean() for g in genes],
        "denoised: smallest": [adata[:, g].layers["denoised"].min() for g in genes],
        "denoised: largest": [adata[:, g].layers["denoised"].max() for g in genes],
    },
    index=genes,
)
shown.round(3)

# %% [markdown]
# Means stay, zeros turn into small expectations. A denoised value of 0.02 means "two such cells in a hundred would show one molecule";
# it does not mean "expressed". Never count cells with `denoised > 0`: that is all of them.
#
# ## 2. Signal or invention? Two genes
#
# CD79A and CD79B are the two halves of the B-cell receptor's signal chain: B cells make both, others neither. They must correlate. But
# denoisers make *everything* correlate, since all genes are predicted from one small code (Andrews & Hemberg 2018). So the picture
# needs a null: what does the same model make of the same two genes after their counts were handed to other cells at random?

# %%
axes = scae.pl.denoising(adata, "CD79A", "CD79B", model)

# %% [markdown]
# TODO
#
# The next pair is a trap. NKG7 and CD79A are expressed in different cells.

# %% [markdown]
# ## 3. Signal or invention? All genes
#
# ### Decoys
#
# Make twenty genes that carry no biology: take twenty real genes and hand their molecules to random cells, deep cells getting more.
# Denoise them among all others. Whatever structure they show afterwards, the model has put there.

# %%
rng = np.random.default_rng(0)
counts = sp.csr_matrix(adata.layers["counts"])
depth = np.asarray(counts.sum(1), np.float64).ravel()
total = np.asarray(counts.sum(0)).ravel().astype(int)
chosen = np.argsort(-total)[20:420:20]
decoys = np.stack([rng.multinomial(total[g], depth / depth.sum()) for g in chosen], axis=1)
names = [*adata.var_names, *(f"decoy {i}" for i in range(20))]
mixed = AnnData(sp.hstack([counts, sp.csr_matrix(decoys.astype("float32"))], format="csr"), adata.obs.copy(), pd.DataFrame(index=names))
scae.tl.denoise(mixed, plan=short, kind="rate", random_state=0)

is_decoy = np.array([name.startswith("decoy") for name in names])
log_raw = np.log1p(mixed.X.toarray() / depth[:, None] * 1e4)
log_clean = np.log1p(mixed.layers["denoised"])


def pairs(values: np.ndarray) -> np.ndarray:
    """|r| of all pairs of columns."""
    return np.abs(np.corrcoef(values.T)[np.triu_indices(values.shape[1], 1)])


found = {
    "real genes": (pairs(log_raw[:, chosen]), pairs(log_clean[:, chosen])),
    "decoys": (pairs(log_raw[:, is_decoy]), pairs(log_clean[:, is_decoy])),
}
pd.DataFrame({kind: {"raw |r|, median": np.median(raw), "denoised |r|, median": np.median(clean), "denoised |r| > 0.5": (clean > 0.5).mean()} for kind, (raw, clean) in found.items()}).T.round(3)

# %%
mono = (mixed.obs["bulk_labels"] == "CD14+ Monocyte").to_numpy()
cells = mixed[mono | (mixed.obs["bulk_labels"] == "CD19+ B").to_numpy()].copy()
tested = {}
for layer, values in {"raw": log_raw, "denoised": log_clean}.items():
    cells.layers["tested"] = values[cells.obs_names.map(dict(zip(mixed.obs_names, range(mixed.n_obs)))).to_numpy()].astype("float32")
    sc.tl.rank_genes_groups(cells, "bulk_labels", groups=["CD14+ Monocyte"], reference="CD19+ B", layer="tested", method="wilcoxon")
    table = sc.get.rank_genes_groups_df(cells, group="CD14+ Monocyte").set_index("names")
    tested[layer] = {"decoys with adjusted p < 0.05 (of 20)": int((table.loc[[n for n in names if n.startswith("decoy")], "pvals_adj"] < 0.05).sum())}
pd.DataFrame(tested).T

# %% [markdown]
# TODO
#
# ### A thinned replicate
#
# The best judge is a second run of the same cells. It can be had: give each molecule to run A or run B by the toss of a coin. Given the
# cell, A and B are independent, so what the model learns from A and finds again in B is signal.
#
# Fit to A. Sort the cells by what the model predicts for a gene, cut them into ten groups, and ask what B says of each group. On the
# diagonal the model is right. If B is *flatter* than the prediction, the model invents differences.
#
# For contrast a model that is made to fail: no corruption, no cost on the code, trained long. It learns the noise by heart.

# %%
half = adata.copy()
half.X = counts.copy()
scae.pp.thin_counts(half)
half

# %%
# TODO replicate

# %% [markdown]
# ## 4. Choose by evidence

# %%
short = {"min_steps": [500], "held_out": [0.0]}
candidates = {
    "denoiser, 1500 steps": "denoiser",
    **{f"denoiser, {n} steps": next(iter(scae.tl.grid("denoiser", min_steps=[n]).values())) for n in (200, 500)},
    "denoiser, 2 numbers a cell": next(iter(scae.tl.grid("denoiser", min_steps=[500], bottleneck_dim=[2]).values())),
    "dca": "dca",
    "dca-poisson": "dca-poisson",
}
