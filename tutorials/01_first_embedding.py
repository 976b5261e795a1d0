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
# # 01 · A first embedding inside a scanpy workflow
#
# **What you will do.** Replace PCA with a count autoencoder. It takes raw counts and returns a few coordinates per cell (the *latent*).
# scanpy's neighbours, UMAP and Leiden then use these coordinates exactly as they would use principal components.
#
# **Why.** PCA treats all log-normalised values as equally certain, but they are not. One molecule in a shallow cell and a hundred
# molecules in a deep cell are very different evidence. A count model knows how noisy each count is and how many molecules were counted
# in the cell.
#
# **What not to expect.** A count autoencoder is not always better than PCA. This page compares the two and reports the numbers.
#
# The page runs in about a minute on two cores and downloads nothing.

# %%
import tempfile
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
from sklearn.metrics import normalized_mutual_info_score
from sklearn.neighbors import KNeighborsClassifier

import scae

warnings.filterwarnings("ignore", category=FutureWarning)  # deprecation notices from other packages
warnings.filterwarnings("ignore", message="IProgress not found")  # a notice about progress bars
plt.rcParams["figure.dpi"] = 80

# %% [markdown]
# ## 1. Counts
#
# The data are 700 blood cells from a 10x run (Zheng 2017), reduced to 765 variable genes and labelled by the authors. The data set is
# small, and most of the quality control has already been done. To follow the same steps on 2,700 cells × 32,738 genes, use the line that
# is commented out. Those cells come without labels, so skip everything that colours or scores by `bulk_labels`.

# %%
adata = scae.datasets.pbmc68k_reduced()
# adata = sc.datasets.pbmc3k()  # the real download, 6 MB
adata

# %% [markdown]
# **A count model needs raw counts**: whole numbers that have not been normalised, logged or scaled. Most failures start here, so check
# first.

# %%
print(scae.check(adata))

# %% [markdown]
# What if `X` holds something else? Try the same cells after normalisation, which is how many public files store them.

# %%
logged = adata.copy()
scae.pp.normalize_total(logged, target_sum=1e4)
scae.pp.log1p(logged)
print(scae.check(logged))
del logged.layers["counts"]
print(scae.check(logged))

# %% [markdown]
# With a layer of that name, the counts are found, and every function below finds them too. Without it, the check fails, and the
# functions would stop with the same message. To be explicit, as this page is, name the layer.
#
# ## 2. Quality control and preparation
#
# `scae.pp` has scanpy's functions, under scanpy's names and with the same results, so you can use either. Look at the number of
# molecules and genes per cell before you filter. Look for two tails: nearly empty droplets on the left and doublets on the right.

# %%
scae.pp.calculate_qc_metrics(adata, percent_top=None, inplace=True)
figure, panels = plt.subplots(1, 3, figsize=(10, 2.8), layout="constrained")
qc = {"total_counts": "molecules per cell", "n_genes_by_counts": "genes seen per cell", "percent_mito": "mitochondrial share"}
for panel, (column, title) in zip(panels, qc.items()):
    panel.hist(adata.obs[column], bins=40, color="#0072B2")
    panel.set(xlabel=title, ylabel="cells")

# %% [markdown]
# Each histogram has one peak and no tail at zero, because the authors had already removed it. The filters below are therefore mild and
# remove nothing. On data from your own run they do matter. Take the thresholds from plots like these, not from a tutorial.
#
# Then prepare the data as usual. **Keep the counts in a layer**, because `normalize_total` and `log1p` overwrite `X`. The log-normalised
# values are kept for PCA and for marker tests.

# %%
n_before = adata.n_obs
scae.pp.filter_cells(adata, min_genes=100)
scae.pp.filter_genes(adata, min_cells=3)
print(f"{n_before - adata.n_obs} cells removed; {adata.n_obs} cells × {adata.n_vars} genes left")

adata.layers["counts"] = adata.X.copy()
scae.pp.normalize_total(adata, target_sum=1e4)
scae.pp.log1p(adata)
# If you start from all genes, select 2,000 here; scae then models the genes in var["highly_variable"]:
# scae.pp.highly_variable_genes(adata, n_top_genes=2000, flavor="seurat_v3", layer="counts")

# %% [markdown]
# ## 3. Embed
#
# One call fits the default model and writes `obsm["X_scae"]`. We only need to say where the counts are.
#
# The default is a variational autoencoder (VAE) with a negative-binomial likelihood. During training, the encoder sees a thinned copy of
# each cell, as if the cell had been sequenced less deeply, and the decoder has to predict the full counts. The model therefore learns
# which genes vary together, rather than which molecules happened to be captured.

# %%
model = scae.tl.embed(adata, layer="counts", random_state=0)
print(adata.obsm["X_scae"].shape, adata.obsm["X_scae"].dtype)

# %% [markdown]
# **Check the training.** The held-out loss, computed on cells that were set aside, should fall and then level off. If it is still falling
# at the end, train longer. If it rises while the training loss falls, the model is overfitting. scae keeps the weights with the best
# held-out loss (dotted line), so a mild rise does no harm.

# %%
axes = scae.pl.history(model)

# %% [markdown]
# ## 4. Neighbours, UMAP and Leiden, as usual
#
# `use_rep="X_scae"` is the only change to a scanpy script. For comparison we do the same with PCA and the same settings, so each graph
# needs its own name. (Do not call a graph `"scae"`: scanpy would overwrite `uns["scae"]`, where the model is recorded.)

# %%
sc.pp.pca(adata, n_comps=30, random_state=0)
for rep, key in {"X_scae": "scae", "X_pca": "pca"}.items():
    sc.pp.neighbors(adata, use_rep=rep, n_neighbors=15, key_added=f"near_{key}", random_state=0)
    sc.tl.leiden(
        adata, resolution=1.0, neighbors_key=f"near_{key}", key_added=f"leiden_{key}",
        flavor="igraph", n_iterations=2, directed=False, random_state=0,
    )  # fmt: skip
sc.tl.umap(adata, neighbors_key="near_scae", random_state=0)
print({key: adata.obs[f"leiden_{key}"].nunique() for key in ("scae", "pca")}, "clusters")

# %% [markdown]
# `scae.pl.latent` draws a latent next to PCA, so that you always have a comparison. Each panel has its own UMAP.

# %%
axes = scae.pl.latent(adata, color=["bulk_labels", "leiden_scae", "total_counts"])

# %% [markdown]
# **What to look for.**
#
# * *Row 1: labels.* Monocytes, dendritic cells, B cells and CD34+ progenitors are separate. The T cells form one group in which the
#   labels mix. The labels were assigned by comparing each cell with sorted populations, and some T-cell labels are uncertain. Naive,
#   memory and regulatory T cells mix under both methods, so this is not a fault of either one.
# * *Row 2: Leiden clusters of the scae latent*, drawn on both maps. Every cluster also stays together on the PCA map, so both methods
#   see the same groups. Agreement between methods is the best sign that a group is real.
# * *Row 3: depth.* If a gradient follows the number of molecules *within* a cell type, the embedding reflects sequencing depth and not
#   biology. Differences *between* types are real: dendritic cells contain more RNA than T cells.
#
# UMAP distorts distances, and it is easy to read too much into its islands. So we also compute numbers.

# %% [markdown]
# ## 5. Comparison with PCA, in numbers
#
# We ask three questions.
#
# * **Labels:** how well do Leiden clusters agree with the labels? We report normalised mutual information (NMI: 0 is chance, 1 is
#   identical) at the best of several resolutions.
# * **Neighbours:** what share of a cell's 15 nearest neighbours has the same label?
# * **Depth:** how well does the latent predict a cell's depth within one cell type? We report the R² of a linear fit within the monocytes.
#   Lower is better.
#
# A model's result depends on its seed. A single number per method would hide that, so we fit the model three times.


# %%
def best_nmi(key: str) -> float:
    """NMI of Leiden clusters with the labels, at the best of five resolutions."""
    scores = []
    for resolution in (0.2, 0.4, 0.6, 1.0, 1.5):
        sc.tl.leiden(
            adata, resolution=resolution, neighbors_key=f"near_{key}", key_added="trial",
            flavor="igraph", n_iterations=2, directed=False, random_state=0,
        )  # fmt: skip
        scores.append(normalized_mutual_info_score(adata.obs["bulk_labels"], adata.obs["trial"]))
    return max(scores)


def neighbour_share(key: str) -> float:
    """Share of a cell's neighbours that have its label, mean over cells."""
    linked = adata.obsp[f"near_{key}_distances"].tocoo()
    label = adata.obs["bulk_labels"].cat.codes.to_numpy()
    return float((label[linked.row] == label[linked.col]).mean())


def depth_r2(rep: str) -> float:
    """Adjusted R² of log depth regressed on the first ten principal axes of a latent, within the monocytes."""
    mono = (adata.obs["bulk_labels"] == "CD14+ Monocyte").to_numpy()
    x, y = adata.obsm[rep][mono], np.log(adata.obs["total_counts"].to_numpy()[mono])
    u = np.linalg.svd(x - x.mean(0), full_matrices=False)[0][:, :10]
    r2 = float(((u.T @ (y - y.mean())) ** 2).sum() / ((y - y.mean()) ** 2).sum())
    return 1 - (1 - r2) * (len(y) - 1) / (len(y) - 11)


rows = {"PCA": (best_nmi("pca"), neighbour_share("pca"), depth_r2("X_pca"))}
for seed in range(3):
    if seed:  # seed 0 has already been fitted
        scae.tl.embed(adata, layer="counts", key_added="X_again", random_state=seed)
        sc.pp.neighbors(adata, use_rep="X_again", n_neighbors=15, key_added="near_again", random_state=0)
    key, rep = ("again", "X_again") if seed else ("scae", "X_scae")
    rows[f"scae, seed {seed}"] = (best_nmi(key), neighbour_share(key), depth_r2(rep))
pd.DataFrame(rows, index=["label NMI", "neighbours of the same label", "depth in monocytes (R²)"]).T.round(3)

# %% [markdown]
# **What this shows.** The NMI values agree to within one hundredth. The share of neighbours with the same label is up to about one
# percentage point higher for scae. Depth is about equally visible in both. *On simple data from one run with clear cell types, PCA is just
# as good, and simpler.* An autoencoder is worth using when you need something that PCA cannot give: a latent without batch effects
# (`batch_key=`), new cells mapped into the same space (section 7), denoised counts (tutorial 02), or the uncertainty of each cell's
# position (`with_sd=True`). The README has larger data sets; on some of them scae is ahead of PCA.
#
# The three seeds show how much of a difference is chance. Never compare two methods by one run each.

# %% [markdown]
# ## 6. Markers
#
# Test markers on **counts or log-normalised counts, never on denoised values**. A denoised gene borrows information from other genes and
# has lost its noise, so every test on it reports far too many genes (tutorial 02 shows this). Even on counts the p-values are too small,
# because the clusters were computed from the same genes. Use the ranking of the genes, not the p-values.

# %%
sc.tl.rank_genes_groups(adata, "leiden_scae", method="wilcoxon", pts=True)
top = pd.DataFrame(adata.uns["rank_genes_groups"]["names"]).head(5)
mostly = adata.obs.groupby("leiden_scae", observed=True)["bulk_labels"].agg(lambda labels: labels.mode()[0])
top.columns = [f"{cluster}: {mostly[cluster]}" for cluster in top]
top.T.apply(", ".join, axis=1).to_frame("top genes")

# %%
known = {
    "T": ["CD3D", "IL7R", "CD8A"], "NK": ["NKG7", "GNLY"], "B": ["CD79A", "MS4A1"],
    "mono": ["S100A8", "FCGR3A"], "DC": ["FCER1A", "CLEC10A"], "pDC": ["SERPINF1", "IRF8"], "CD34": ["SPINK2"],
}  # fmt: skip
adata.obs["cluster"] = adata.obs["leiden_scae"].map({c: f"{c}, mostly {mostly[c]}" for c in mostly.index})
axes = sc.pl.dotplot(adata, known, groupby="cluster", show=False)

# %% [markdown]
# **What the markers add to the labels.**
#
# * *Cluster 4* is labelled B, but its top genes include MZB1, IGJ and TNFRSF17, and MS4A1 (CD20) is off: these are **plasma cells**. The
#   labels had no such class. When a cluster disagrees with the labels, the cluster may be right.
# * *Cluster 0* is mostly labelled CD14+ monocyte, with some cells labelled dendritic. It expresses FCGR3A (CD16) and LST1 and hardly any
#   S100A8: these are **CD16+ monocytes**.
# * *Cluster 8* expresses genes of NK cells (NKG7, GNLY) *and* of monocytes (LST1, CFD). Are these doublets? A doublet contains the
#   molecules of two cells, so check the number of molecules per cell:

# %%
adata.obs.groupby("cluster", observed=True)["total_counts"].describe()[["count", "25%", "50%", "75%"]].round(0)

# %% [markdown]
# Probably not. Cluster 8 has about as many molecules per cell as cluster 0 (medians 681 and 650), while a doublet of a cell from cluster
# 0 and a cell from cluster 1 would have about 1,140. Whole doublets are therefore unlikely, but nineteen cells are too few to be sure.
# Other explanations are monocytes that took up debris, or a rare cell type. To find out, look at all genes, run a doublet detector on the
# raw run, and check whether another sample contains the same cells. *Do not name a cluster by its position on a UMAP.*

# %% [markdown]
# ## 7. Save, reload, map new cells
#
# `model.save` writes one file with the weights and settings; it contains no pickle. A reloaded model is *applied*, not fitted again.
# Genes are matched by name, and the same cells get exactly the same coordinates. A model can also be applied to cells that it has never
# seen. Below we fit a model to 500 cells and map the other 200.

# %%
folder = Path(tempfile.mkdtemp())
model.save(folder / "model.scae")
again = scae.load(folder / "model.scae")
scae.tl.embed(adata, again, layer="counts", key_added="X_reloaded")
print("reloaded = saved:", np.array_equal(adata.obsm["X_scae"], adata.obsm["X_reloaded"]))

rng = np.random.default_rng(0)
new = np.zeros(adata.n_obs, bool)
new[rng.choice(adata.n_obs, 200, replace=False)] = True
half = scae.tl.fit(adata[~new], layer="counts", random_state=0)
scae.tl.embed(adata, half, layer="counts", key_added="X_mapped")

for rep in ("X_mapped", "X_scae"):
    x, y = adata.obsm[rep], adata.obs["bulk_labels"]
    right = KNeighborsClassifier(15).fit(x[~new], y[~new]).score(x[new], y[new])
    print(f"{rep}: of the 200 cells {right:.1%} get their label from their 15 neighbours among the 500")
missed = new & (KNeighborsClassifier(15).fit(x[~new], y[~new]).predict(x) != y).to_numpy()
print(f"X_scae: of those that do not, {y[missed].str.contains(' T|Cytotoxic|Memory').mean():.0%} are T cells")

# %% [markdown]
# New cells find their type nearly as often as cells that were part of the fit. Most of those that do not are T cells, whose labels mix in
# any case. A cell type that was absent from the fitted cells would be placed among the known types, so also look at
# `scae.tl.score(adata, model)`: it reports how poorly the model explains each cell.
#
# The AnnData file stores everything else. `uns["scae"]` records which model wrote which result, with its settings and seed.

# %%
del adata.obsm["X_again"], adata.obsm["X_reloaded"], adata.obsm["X_mapped"]
adata.write_h5ad(folder / "embedded.h5ad", compression="gzip")
back = sc.read_h5ad(folder / "embedded.h5ad")
print(sorted(back.obsm), sorted(back.layers))
print(sorted(back.uns["scae"]["written"]), "by scae", back.uns["scae"]["version"])

# %% [markdown]
# The same steps in the shell, for a pipeline:
#
# ```sh
# scae check counts.h5ad
# scae preprocess counts.h5ad ready.h5ad
# scae fit ready.h5ad model.scae --layer counts
# scae embed ready.h5ad embedded.h5ad --model model.scae
# ```
#
# ## Troubleshooting
#
# | you see | likely reason | what to do |
# |---|---|---|
# | an error, although you have raw counts | `X` is normalised | name the layer: `layer="counts"` |
# | clusters follow donors or runs | batch effects | `scae.tl.embed(adata, batch_key="batch")`, then colour the plot by batch |
# | a gradient follows depth within a cell type | empty droplets, doublets | go back to the filters |
# | a cluster whose markers are `MT-` or ribosomal genes | dying cells | go back to the filters |
# | clusters change with the seed | few cells, or no clear groups | trust only what several seeds agree on |
# | a rare cell type has disappeared | its marker genes were not selected | use more variable genes; look at its markers by name |
# | PCA is just as good | simple data with clear types | use PCA: it is simpler |
#
# Next: [02 · denoising](02_denoising.ipynb), [03 · compose your own](03_compose_your_own.ipynb).
