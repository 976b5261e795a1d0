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
# **What you get.** A count autoencoder in the place where PCA usually stands: raw counts in, a small table of coordinates per cell
# out, which scanpy's neighbours, UMAP and Leiden use as they would use PCA.
#
# **Why.** PCA treats log-normalised values as if all were equally certain. They are not: a gene seen once in a shallow cell and a
# gene seen a hundred times in a deep one carry very different evidence. A count model knows how noisy each count is and how many
# molecules the cell had.
#
# **What it is not.** It is not always better than PCA. This page puts both side by side and reads the numbers off.
#
# It runs in about a minute on two cores and downloads nothing.

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

warnings.filterwarnings("ignore", category=FutureWarning)  # remarks of other packages on their own future
warnings.filterwarnings("ignore", message="IProgress not found")  # and on progress bars
plt.rcParams["figure.dpi"] = 80

# %% [markdown]
# ## 1. Counts
#
# 700 blood cells of a 10x run (Zheng 2017), reduced to 765 variable genes and labelled by their makers. These are small data, and
# much of the quality control has been done. To walk the same way on 2,700 cells × 32,738 genes, use the line that is commented out;
# those cells come without labels, so leave out what colours or scores by `bulk_labels`.

# %%
adata = scae.datasets.pbmc68k_reduced()
# adata = sc.datasets.pbmc3k()  # the real download, 6 MB
adata

# %% [markdown]
# **A count model needs raw counts**: whole numbers, not normalised, not logged, not scaled. Most failures begin here, so ask.

# %%
print(scae.check(adata))

# %% [markdown]
# What does it say when the matrix is wrong? Take the same cells after normalisation, as many files on the web hold them.

# %%
logged = adata.copy()
scae.pp.normalize_total(logged, target_sum=1e4)
scae.pp.log1p(logged)
print(scae.check(logged))

# %% [markdown]
# It refuses, and names the layer where the counts are. The verbs below would refuse with the same words.
#
# ## 2. Quality control and preparation
#
# `scae.pp` has scanpy's functions under scanpy's names, with the same numbers; use either. Look at the molecules and genes per cell
# before you filter. You look for a tail of nearly empty droplets on the left and of doublets on the right.

# %%
scae.pp.calculate_qc_metrics(adata, percent_top=None, inplace=True)
figure, panels = plt.subplots(1, 3, figsize=(10, 2.8), layout="constrained")
qc = {"total_counts": "molecules per cell", "n_genes_by_counts": "genes seen per cell", "percent_mito": "mitochondrial share"}
for panel, (column, title) in zip(panels, qc.items()):
    panel.hist(adata.obs[column], bins=40, color="#0072B2")
    panel.set(xlabel=title, ylabel="cells")

# %% [markdown]
# One hump each and no tail at zero: the makers removed it. So the filters below are mild and remove nothing here; on data from your own
# run they matter, and the thresholds should come from these pictures, not from a tutorial.
#
# Then the usual preparation. **The counts stay in a layer**, because `normalize_total` and `log1p` overwrite `X`. We keep the
# log-normalised values for PCA and for testing markers.

# %%
n_before = adata.n_obs
scae.pp.filter_cells(adata, min_genes=100)
scae.pp.filter_genes(adata, min_cells=3)
print(f"{n_before - adata.n_obs} cells removed; {adata.n_obs} cells × {adata.n_vars} genes left")

adata.layers["counts"] = adata.X.copy()
scae.pp.normalize_total(adata, target_sum=1e4)
scae.pp.log1p(adata)
# With all genes of a genome, choose 2,000 here; scae then models those of var["highly_variable"]:
# scae.pp.highly_variable_genes(adata, n_top_genes=2000, flavor="seurat_v3", layer="counts")

# %% [markdown]
# ## 3. Embed
#
# One call fits the default model and writes `obsm["X_scae"]`. We say where the counts are; nothing else needs choosing. The default
# is a variational autoencoder with a negative-binomial likelihood. While it learns, it sees each cell as a shallower run would have
# seen it, and must explain the whole cell: so it learns what genes do together and not what single molecules happen to say.

# %%
model = scae.tl.embed(adata, layer="counts", random_state=0)
print(adata.obsm["X_scae"].shape, adata.obsm["X_scae"].dtype)

# %% [markdown]
# **Look at the training.** Two things matter. The held-out loss (cells that were set aside) should fall and then lie flat: if it still
# falls at the end, train longer. If it rises while the training loss falls, the model learns cells by heart; the best weights are kept,
# at the dotted line, so a mild rise does no harm.

# %%
axes = scae.pl.history(model)

# %% [markdown]
# ## 4. Neighbours, UMAP, Leiden: scanpy as always
#
# `use_rep="X_scae"` is the only change in a scanpy script. For comparison the same is done with PCA, with the same settings, so each
# graph needs a name. (Do not call one `"scae"`: scanpy would write it over `uns["scae"]`, the record of the model.)

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
# `scae.pl.latent` draws a latent beside PCA, so that you never look at one alone. Each panel has its own UMAP.

# %%
axes = scae.pl.latent(adata, color=["bulk_labels", "leiden_scae", "total_counts"])

# %% [markdown]
# **What to look at.**
#
# * *Row 1.* Monocytes, dendritic cells, B cells and the CD34+ progenitors stand apart; the T cells form one land in which labels mix.
#   These labels were given by comparing each cell with sorted populations. Some T-cell labels are uncertain themselves: that naive,
#   memory and regulatory cells mix is no fault of a method, and no method parts them here.
# * *Row 2.* Leiden clusters of the scae latent, drawn on both maps. Every one lies together in the PCA map too: both methods see the
#   same groups. That is the best sign that a group is real.
# * *Row 3.* Depth. If a whole axis follows the number of molecules *inside* a cell type, the embedding shows the machine and not the
#   cell. Differences *between* types are real: dendritic cells hold more RNA than T cells.
#
# UMAP bends distances, and its islands are easily over-read. So we also count.

# %% [markdown]
# ## 5. Against PCA, in numbers
#
# Three questions. **Labels:** how well do Leiden clusters agree with the labels (normalised mutual information: 0 is chance, 1 is
# equal), at the best of several resolutions? **Neighbours:** what share of a cell's 15 neighbours has its label? **Depth:** how
# well does the latent predict a cell's depth within one type (R² of a linear fit within the monocytes)? Low is good.
#
# A model's figure depends on its seed. One number per method would hide that, so we fit thrice.


# %%
def best_nmi(key: str) -> float:
    """The best agreement of Leiden clusters with the labels over five resolutions."""
    scores = []
    for resolution in (0.2, 0.4, 0.6, 1.0, 1.5):
        sc.tl.leiden(
            adata, resolution=resolution, neighbors_key=f"near_{key}", key_added="trial",
            flavor="igraph", n_iterations=2, directed=False, random_state=0,
        )  # fmt: skip
        scores.append(normalized_mutual_info_score(adata.obs["bulk_labels"], adata.obs["trial"]))
    return max(scores)


def neighbour_share(key: str) -> float:
    """Mean share of a cell's neighbours that have its label."""
    linked = adata.obsp[f"near_{key}_distances"].tocoo()
    label = adata.obs["bulk_labels"].cat.codes.to_numpy()
    return float((label[linked.row] == label[linked.col]).mean())


def depth_r2(rep: str) -> float:
    """R² of log depth on the first ten axes of a representation, in monocytes, adjusted for the number of axes."""
    mono = (adata.obs["bulk_labels"] == "CD14+ Monocyte").to_numpy()
    x, y = adata.obsm[rep][mono], np.log(adata.obs["total_counts"].to_numpy()[mono])
    u = np.linalg.svd(x - x.mean(0), full_matrices=False)[0][:, :10]
    r2 = float(((u.T @ (y - y.mean())) ** 2).sum() / ((y - y.mean()) ** 2).sum())
    return 1 - (1 - r2) * (len(y) - 1) / (len(y) - 11)


rows = {"PCA": (best_nmi("pca"), neighbour_share("pca"), depth_r2("X_pca"))}
for seed in range(3):
    if seed:  # seed 0 is fitted already
        scae.tl.embed(adata, layer="counts", key_added="X_again", random_state=seed)
        sc.pp.neighbors(adata, use_rep="X_again", n_neighbors=15, key_added="near_again", random_state=0)
    key, rep = ("again", "X_again") if seed else ("scae", "X_scae")
    rows[f"scae, seed {seed}"] = (best_nmi(key), neighbour_share(key), depth_r2(rep))
pd.DataFrame(rows, index=["label NMI", "neighbours of the same label", "depth in monocytes (R²)"]).T.round(3)

# %% [markdown]
# **Read it honestly.** The NMI is equal to within a hundredth, the neighbours agree by about one point more, and depth shows as much in
# one as in the other. *On plain data of one run with clear types, PCA is as good, and simpler.* An autoencoder earns its place where
# you need what PCA cannot give: batches taken out of the latent (`batch_key=`), new cells mapped into the same space (below), denoised
# counts (tutorial 02), the uncertainty of each position (`with_sd=True`). The README has larger sets, on some of which it is ahead.
#
# The three seeds say how much of a difference is luck. Never compare two methods by one run each.

# %% [markdown]
# ## 6. Markers
#
# Test markers on **counts or log-normalised counts, never on denoised values**: a denoised gene borrows from other genes, its noise is
# gone, and every test on it finds far too much (tutorial 02 shows this). The clusters came from the same genes, so p-values are too
# small even so; read the order of genes, not the p-values.

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
# * *Cluster 4* is labelled B, but its top genes are MZB1, IGJ and TNFRSF17, and MS4A1 (CD20) is off: **plasma cells**. The labels had no
#   such class. A cluster that disagrees with labels may be right.
# * *Cluster 0* is labelled CD14+, with dendritic cells mixed in. It has FCGR3A (CD16) and LST1 and hardly any S100A8: **CD16+ monocytes**.
# * *Cluster 8* has genes of NK cells (NKG7, GNLY) *and* of monocytes (LST1, CFD). Two cells in one droplet? Doublets hold the molecules
#   of both cells. Look:

# %%
adata.obs.groupby("cluster", observed=True)["total_counts"].describe()[["count", "25%", "50%", "75%"]].round(0)

# %% [markdown]
# They do not: cluster 8 has about as many as cluster 0 alone (681 against 650 at the median), and two whole cells of clusters 0 and 1 would
# have 1,140. So whole doublets are unlikely, but nineteen cells decide little. Other readings: a monocyte that took up debris, or a
# rare type. What to do: look at all genes, run a doublet detector on the raw run, and see whether another sample has them too. *Do not
# name a cluster by its UMAP place.*

# %% [markdown]
# ## 7. Save, reload, new cells
#
# `model.save` writes one file: weights and settings, no pickle. A reloaded model is *applied*, not fitted again: genes are matched by
# name, and the same cells get the same coordinates to the last bit. So may cells that the model has never seen. Below it is fitted to
# 500 cells and maps the other 200.

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
# New cells find their types nearly as well as cells that were fitted. Most that fail are T cells, whose labels mix in any case. A cell type that
# the fitted cells lack would be forced among them, so look at `scae.tl.score(adata, model)`: it says how badly each cell is explained.
#
# The AnnData file keeps everything else. `uns["scae"]` records which model wrote what, with its settings and seed.

# %%
del adata.obsm["X_again"], adata.obsm["X_reloaded"], adata.obsm["X_mapped"]
adata.write_h5ad(folder / "embedded.h5ad", compression="gzip")
back = sc.read_h5ad(folder / "embedded.h5ad")
print(sorted(back.obsm), sorted(back.layers))
print(sorted(back.uns["scae"]["written"]), "by scae", back.uns["scae"]["version"])

# %% [markdown]
# The same from a shell, for a pipeline:
#
# ```sh
# scae check counts.h5ad
# scae preprocess counts.h5ad ready.h5ad
# scae fit ready.h5ad model.scae --layer counts
# scae embed ready.h5ad embedded.h5ad --model model.scae
# ```
#
# ## What can go wrong
#
# | you see | likely reason | do |
# |---|---|---|
# | an error on raw counts | `X` is normalised | name the layer: `layer="counts"` |
# | clusters follow donors or runs | batches | `scae.tl.embed(adata, batch_key="batch")`, and look at the batches in the picture |
# | an axis follows depth within a type | empty droplets, doublets | go back to the filters |
# | a cluster whose markers are `MT-` or ribosomal genes | dying cells | go back to the filters |
# | another seed moves clusters | few cells, or no clear groups | trust what several seeds agree on |
# | a rare type has vanished | its genes were not chosen | more variable genes; look at its markers by name |
# | PCA is as good | clear types, plain data | use PCA: it is simpler |
#
# Next: [02 · denoising](02_denoising.ipynb), [03 · compose your own](03_compose_your_own.ipynb).
