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
# # 02 · Denoising: when to use it, signal or artefact, and how to choose a model
#
# A cell holds some hundred thousand messenger RNA molecules; a droplet run counts a few thousand of them. Most zeros therefore mean "not
# sampled", not "not expressed". A denoiser replaces each count by its expected value under a model that has learned from the cell's
# *other* genes and from similar cells.
#
# The result is a prediction, not a measurement. So this page asks of every result: **would it hold for molecules that the model has not
# seen?**
#
# | denoise for | do not denoise for |
# |---|---|
# | plots of single genes across cells | differential expression tests |
# | gene–gene scatter plots, marker genes along a trajectory | networks from gene–gene correlations |
# | ordering cells by a weakly expressed gene | deciding whether a gene is expressed at all in a rare cell |
# | filling in values for a method that cannot handle zeros | anything a latent can do (tutorial 01): clustering, neighbours |
#
# The page runs in about a minute and a half on two cores and downloads nothing.

# %%
import dataclasses
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData
from scipy.stats import false_discovery_control, mannwhitneyu

import scae
from scae.bottlenecks import Deterministic
from scae.corruptions import NoCorruption
from scae.likelihoods import NB, ZINB, Poisson
from scae.presets import Preset

warnings.filterwarnings("ignore", category=FutureWarning)  # deprecation notices from other packages
warnings.filterwarnings("ignore", message="IProgress not found")  # a notice about progress bars
plt.rcParams["figure.dpi"] = 80
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"

adata = scae.datasets.pbmc68k_reduced()
# adata = sc.datasets.pbmc3k(); scae.pp.recipe(adata); adata.X = adata.layers["counts"]  # the real download: 2,000 genes, no labels
adata

# %% [markdown]
# ## 1. Denoise
#
# `X` holds raw counts. One call fits the default model for denoising and writes `layers["denoised"]`. The counts are never changed.
#
# We set the length of training by hand (500 steps), so that later sections can use the same setting. Section 4 shows the evidence that
# this length suits so few cells.

# %%
short = scae.TrainPlan(min_steps=500, held_out=0.0)
model = scae.tl.denoise(adata, plan=short, random_state=0)

genes = ["CD3D", "CD79A", "NKG7", "LYZ"]
raw, denoised = (sc.get.obs_df(adata, genes, layer=layer) for layer in ("counts", "denoised"))
shown = pd.DataFrame(
    {
        "raw: no count": (raw == 0).mean(),
        "raw: mean": raw.mean(),
        "denoised: mean": denoised.mean(),
        "denoised: smallest": denoised.min(),
        "denoised: largest": denoised.max(),
    }
)
shown.round(3)

# %% [markdown]
# The means stay about the same, and zeros become small expected values. A denoised value of 0.02 means "of a hundred such cells, about
# two would show one molecule". It does not mean "expressed". Never count cells with `denoised > 0`: that is all of them.
#
# ### The state, or this very cell?
#
# What you have just written is the *mean*: what cells in this state express. The *posterior* goes on from there: it corrects the mean by
# the cell's own count, by as much as cells in one state differ. Take the mean to compare states, and the posterior to know as much as
# possible of a cell; its standard deviation says how far to trust it.

# %%
scae.tl.denoise(adata, model, kind="posterior", with_sd=True, key_added="cell")
gene = adata.var_names.get_loc("NKG7")
values = {
    "counts": adata.X[:, gene].toarray().ravel(),
    "mean (the state)": adata.layers["denoised"][:, gene],
    "posterior (the cell)": adata.layers["cell"][:, gene],
    "its standard deviation": adata.layers["cell_sd"][:, gene],
}
top = np.quantile(values["counts"], 0.99)
figure, panels = plt.subplots(1, 4, figsize=(13, 3), layout="constrained")
for panel, (name, value) in zip(panels, values.items()):
    dots = panel.scatter(*adata.obsm["X_umap"].T, c=np.sqrt(value), s=7, vmin=0, vmax=np.sqrt(top), cmap="viridis")
    panel.set(title=f"NKG7: {name}", xticks=[], yticks=[])
bar = figure.colorbar(dots, ax=panels, label="√ molecules")

# %% [markdown]
# The mean is smooth: neighbours have the same colour. The posterior keeps what a single cell showed beyond its neighbours, and is most
# uncertain where counts are large. On held-out molecules the posterior is ahead (`docs/denoising.md` has the figures). Where much of the
# variation is technical, as in amplified libraries without UMIs, it keeps that too, and the mean is the better answer.
#
# ## 2. Signal or artefact? Two genes
#
# CD79A and CD79B are the two signalling chains of the B-cell receptor. B cells make both, other cells make neither, so the two must
# correlate. But a denoiser makes *everything* correlate, because it predicts all genes from one small latent (Andrews & Hemberg 2018). We
# therefore need a null: what does the same model make of the same two genes after their counts have been shuffled between cells?

# %%
axes = scae.pl.denoising(adata, "CD79A", "CD79B", model)

# %% [markdown]
# **How to read it.** From left to right: the raw counts; the denoised values; one typical pair of shuffled copies after denoising, on the
# same axes; and the correlations of all hundred shuffled pairs. **Note how wide this null distribution is:** genes without any relation
# reach |r| = 0.4. The blue line lies outside it, so the model did not create this relation. If the blue line lies inside it, the
# correlation tells you nothing, however convincing the second panel looks.
#
# Look at the first panel too: the raw counts are already correlated. Denoising should *sharpen* a relation that the raw counts hint at.
# If the raw counts show none, be very careful.
#
# Does the relation hold only between cell types, or also among the cells of one type? Only the second would be news. So we look within
# the B cells, and at pairs of genes that should not go together.

# %%
depth = np.asarray(adata.X.sum(1), np.float64).ravel()
log_raw = np.log1p(adata.X.toarray() / depth[:, None] * 1e4)
clean = np.asarray(adata.layers["denoised"])
log_clean = np.log1p(clean / clean.sum(1, keepdims=True) * 1e4)
t_cell = adata.obs["bulk_labels"].str.contains(" T|Cytotoxic|Memory")
questions = {
    "together: CD79A, CD79B": ("CD79A", "CD79B", np.ones(adata.n_obs, bool)),
    "the same, in B cells only": ("CD79A", "CD79B", adata.obs["bulk_labels"] == "CD19+ B"),
    "together: LYZ, CST3": ("LYZ", "CST3", np.ones(adata.n_obs, bool)),
    "apart: CD3D, LYZ": ("CD3D", "LYZ", np.ones(adata.n_obs, bool)),
    "apart: CD79A, NKG7": ("CD79A", "NKG7", np.ones(adata.n_obs, bool)),
    "apart: CD4, CD8A, in T cells only": ("CD4", "CD8A", t_cell),
}
place = adata.var_names.get_loc
rows = {
    name: [np.corrcoef(values[np.asarray(cells)][:, [place(a), place(b)]].T)[0, 1] for values in (log_raw, log_clean)]
    for name, (a, b, cells) in questions.items()
}
pd.DataFrame(rows, index=["raw r", "denoised r"]).T.round(2)

# %% [markdown]
# The signs stay the same and the correlations get stronger. CD79A with CD79B, and LYZ with CST3, were already positively correlated. CD3D
# with LYZ was already negatively correlated.
#
# Within B cells the correlation of CD79A with CD79B is about half as large. Most of the first row is therefore the difference between B
# cells and all others, which we knew already.
#
# CD4 and CD8A in T cells are the instructive pair. A helper T cell expresses CD4 and a cytotoxic T cell CD8A, so the negative sign
# is right. But the raw counts contain few molecules of these two genes, and −0.17 has become −0.58. The *direction* comes from the data;
# the *strength* comes from the model.
#
# ## 3. Signal or artefact? All genes
#
# ### Decoys
#
# Now make twenty genes that carry no biology. Take twenty real genes and distribute their molecules over the cells at random, in
# proportion to each cell's depth. Denoise these decoys together with all real genes. Any structure they show afterwards was created by
# the model.

# %%
rng = np.random.default_rng(0)
totals = np.asarray(adata.X.sum(0)).ravel().astype(int)
chosen = np.argsort(-totals)[20:420:20]  # from abundant to rare
fake = np.stack([rng.multinomial(totals[g], depth / depth.sum()) for g in chosen], axis=1)
names = [*adata.var_names, *(f"decoy {i}" for i in range(len(chosen)))]
both = sp.hstack([adata.X, sp.csr_matrix(fake.astype("float32"))], format="csr")
mixed = AnnData(both, adata.obs[["bulk_labels"]].copy(), pd.DataFrame(index=names))
scae.tl.denoise(mixed, plan=short, kind="rate", random_state=0)

decoy = mixed.var_names.str.startswith("decoy")
values = {"raw": np.log1p(both.toarray() / depth[:, None] * 1e4), "denoised": np.log1p(mixed.layers["denoised"])}


def correlations(x: np.ndarray) -> np.ndarray:
    """|r| for every pair of columns."""
    return np.abs(np.corrcoef(x.T)[np.triu_indices(x.shape[1], 1)])


def called(x: np.ndarray, genes: np.ndarray) -> int:
    """Number of genes that a Wilcoxon test calls different between monocytes and B cells (false discovery rate 0.05)."""
    first, second = (x[(mixed.obs["bulk_labels"] == label).to_numpy()] for label in ("CD14+ Monocyte", "CD19+ B"))
    return int((false_discovery_control(mannwhitneyu(first, second).pvalue)[genes] < 0.05).sum())


pd.DataFrame(
    {
        kind: {
            "20 real genes: median |r|": np.median(correlations(x[:, chosen])),
            "20 decoys: median |r|": np.median(correlations(x[:, decoy])),
            "765 real genes: called different": called(x, ~decoy),
            "20 decoys: called different": called(x, decoy),
        }
        for kind, x in values.items()
    }
).round(3)

# %% [markdown]
# **This is what the model makes up.** The decoys have nothing to do with each other, yet after denoising their median |r| is three times
# as large. Nine of the twenty are called different between monocytes and B cells. The reason: the model lets each gene depend slightly on
# the latent, and once the noise is gone, the slightest difference is significant. For the same reason nine tenths of the real genes are
# called different, against half in the raw counts. (Three decoys are called different in the raw values too. Log-normalised values keep a
# trace of depth, and the two cell types differ in depth.)
#
# Two rules follow. **Never test on denoised values. Never build a gene network from them.** A correlation of 0.3 between denoised genes
# means nothing. `scae.tl.correlation` correlates genes in draws from the model instead, and tests each pair against permuted genes.
#
# ### A replicate made by thinning
#
# The best check would be a second sequencing run of the same cells. We can simulate one: assign each molecule to run A or to run B by
# tossing a coin. Given the cell, A and B are independent, so anything a model learns from A and finds again in B is signal.
#
# Fit the model to A. For each gene, sort the cells by the model's prediction, cut them into ten groups, and compare with the counts in B.
# If the groups lie on the diagonal, the model is right. If B is *flatter* than the prediction, the model predicts differences that do not
# exist. We summarise each gene by one number, the **slope** of B on the prediction: 1 means well calibrated; 0.5 means that only half of
# the predicted difference is real.
#
# We compare three models: the default for denoising (a small KL weight, β = 0.1), the same with the full KL weight (β = 1), and one that
# is designed to fail. The last one, called *by heart*, has no corruption, no penalty on the latent and long training, so that it memorises
# the noise.

# %%
halves = AnnData(adata.X.copy(), adata.obs[["bulk_labels"]].copy(), pd.DataFrame(index=adata.var_names))
scae.pp.thin_counts(halves, 0.5, key_train="A", key_test="B", random_state=0)
fresh = halves.layers["B"].toarray()
fresh = fresh / fresh.sum(1, keepdims=True) * 1e4

tight = next(iter(scae.tl.grid("denoiser", bottleneck_beta=[1.0]).values()))
by_heart = scae.ModelSpec(corruption=NoCorruption(), bottleneck=Deterministic(dim=64))
predicted = {"raw counts of A": halves.layers["A"].toarray() / halves.layers["A"].sum(1) * 1e4}
for name, (candidate, plan) in {
    "denoiser": ("denoiser", short),
    "denoiser, β = 1": (tight, short),
    "by heart": (by_heart, scae.TrainPlan(min_steps=800, held_out=0.0)),
}.items():
    scae.tl.denoise(halves, candidate, layer="A", kind="rate", key_added=name, plan=plan, random_state=0)
    predicted[name] = halves.layers[name]


def slopes(prediction: np.ndarray) -> np.ndarray:
    """Slope of run B on the prediction, one per gene."""
    x, y = prediction - prediction.mean(0), fresh - fresh.mean(0)
    return np.asarray((x * y).sum(0)).ravel() / np.maximum(np.asarray((x * x).sum(0)).ravel(), 1e-12)


found = {name: slopes(np.asarray(x)) for name, x in predicted.items()}
strong = np.argsort(-fresh.var(0))[:100]
pd.DataFrame(
    {
        name: {"median slope, 765 genes": np.median(s), "median slope, 100 most variable": np.median(s[strong])}
        for name, s in found.items()
    }
).T.round(2)

# %%
figure, panels = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained")
looks = {"denoiser": (BLUE, "o"), "denoiser, β = 1": (GREEN, "s"), "by heart": (ORANGE, "^")}
middling = adata.var_names[np.argsort(-fresh.var(0))[400]]
for panel, gene in zip(panels, ["LYZ", "CD3D", "NKG7", middling]):
    column = place(gene)
    for name, (color, marker) in looks.items():
        group = pd.qcut(predicted[name][:, column], 10, labels=False)
        said = [predicted[name][group == k, column].mean() for k in range(10)]
        seen = [fresh[group == k, column].mean() for k in range(10)]
        panel.plot(said, seen, marker, color=color, ms=5, mfc="none", label=f"{name} (slope {found[name][column]:.2f})")
    top = 1.1 * max(panel.get_xlim()[1], panel.get_ylim()[1])
    panel.plot([0, top], [0, top], color="black", lw=0.8, ls="--")
    for scale in (panel.set_xscale, panel.set_yscale):
        scale("function", functions=(lambda v: np.sqrt(np.maximum(v, 0)), np.square))  # spreads out the low groups
    panel.set(xlim=(0, top), title=gene, xlabel="predicted from run A, per 10⁴", ylabel="seen in run B, per 10⁴")
    panel.legend(fontsize=7, frameon=False, loc="upper left")
    panel.set_ylim(0, 1.9 * top)
    panel.locator_params(nbins=6)

# %% [markdown]
# Start with the table.
#
# * **Raw counts predict a second run badly.** For a typical gene, only a sixth of the difference between two cells' counts reappears in
#   run B. This is the case *for* denoising.
# * **The denoiser** is right to within about an eighth for the hundred most variable genes, which include the markers. For the typical
#   gene its predicted differences are too large: four tenths of them are not real. Trust it for strong genes, and be careful with weak
#   ones.
# * **The full KL weight (β = 1)** is more cautious, and its slope is closer to 1 for the typical gene. For the strongest markers it gains
#   nothing (see LYZ). Use it if you look at weak genes.
# * **By heart** is hardly better than raw counts for the typical gene, although LYZ looks good. Its denoised layer looks as smooth as the
#   others, so no plot of that layer alone would have revealed the problem.
#
# In the figure, the three markers lie near the diagonal for all models. The last panel shows a gene of intermediate variance. Groups that
# are predicted to differ several-fold hardly differ in run B. Most genes in the layer are like this one, and only a comparison like this
# one shows it.
#
# (Run A has only half of the molecules. With all of them, every model does better than shown here.)
#
# ## 4. Choose the model by evidence
#
# Which model, which latent size, how long to train? Let held-out molecules decide. `scae.tl.cross_validate` holds out a tenth of the
# molecules and fits each candidate to the rest. The score is the share of the held-out Poisson deviance that the candidate explains beyond
# *gene mean × depth*: 0 is no better than the gene mean, below 0 is worse. Three baselines are scored as well: the gene mean, the raw
# counts shrunk towards it, and PCA.
#
# `scae.tl.choose` then takes the *simplest* candidate within one standard error of the best, provided that it also beats the best baseline
# by more than one standard error.

# %%
candidates = {
    **scae.tl.grid("denoiser", min_steps=[150, 500, 1500], max_epochs=[None]),
    **scae.tl.grid("denoiser", min_steps=[500], max_epochs=[None], bottleneck_dim=[2, 8]),
    "dca": "dca",
    "by heart": Preset(by_heart, scae.TrainPlan(min_steps=800, held_out=0.0)),
}
table = scae.tl.cross_validate(adata, candidates, n_splits=2, random_state=0)
axes = scae.pl.cross_validation(table)

# %%
choice = scae.tl.choose(table)
print(choice.model)
print(choice.reason)

# %% [markdown]
# **What this shows.** (The number next to a name is its number of weights. Filled markers are within one standard error of the best.)
#
# * Two latent dimensions are too few, eight are enough, and thirty-two are no better. So the choice is eight.
# * 150 steps are too few and 1,500 are too many: with only 700 cells, the model starts to overfit. The default plan therefore stops after
#   75 passes over the cells (`max_epochs`), which is 450 steps here. On your own data, run this comparison again.
# * *By heart* is no better than PCA: it spends its flexibility on fitting noise.
#
# ### "Do not denoise this"
#
# A good test must be able to say no. Make cells without any structure, with the same depths and the same gene means but nothing else.
# There is nothing to learn, so any difference that a denoiser shows would be made up.

# %%
share = totals / totals.sum()
nothing = np.stack([rng.multinomial(int(d), share) for d in depth]).astype("float32")
empty = AnnData(sp.csr_matrix(nothing), var=pd.DataFrame(index=adata.var_names))
verdict = scae.tl.choose(scae.tl.cross_validate(empty, ["denoiser"], n_splits=2, plan=short, random_state=0))
print(verdict.model)
print(verdict.reason)

# %% [markdown]
# `model` is `None`. If you get this answer, accept it. You will get it when cells are all alike, very shallow or very few.
#
# ## 5. Depth
#
# A cell with twice as many molecules has, on average, twice the count of every gene. By default its denoised values keep that difference:
#
# | `kind=` | values | use it for |
# |---|---|---|
# | `"mean"` | expected counts at the cell's own depth | comparison with the cell's raw counts |
# | `"rate"` | expected counts per 10⁴ counts of the modelled genes | comparison between cells: plots, scatter plots |
# | `"log_mean"` | expected log-normalised values | comparison with means of scanpy's log-normalised values |
# | `"sample"` | counts drawn from the model | checking the model |
#
# Within one cell type, depth is mostly technical. How strongly do genes follow it in the monocytes?

# %%
mono = (adata.obs["bulk_labels"] == "CD14+ Monocyte").to_numpy()
follows = {}
for kind in ("mean", "rate", "log_mean"):
    scae.tl.denoise(adata, model, kind=kind, key_added=f"denoised_{kind}")
    values = np.asarray(adata.layers[f"denoised_{kind}"])[mono]
    r = np.array([np.corrcoef(gene, depth[mono])[0, 1] for gene in values.T])
    follows[kind] = {"median r with depth": np.median(r), "genes with |r| > 0.3": (np.abs(r) > 0.3).mean()}
pd.DataFrame(follows).T.round(2)

# %% [markdown]
# With `"mean"`, a gene follows depth because some cells were sampled more deeply than others. With `"rate"`, the typical gene does not.
# Some genes still do: large cells may really differ from small ones. Use `"rate"` to compare *between* cells.
#
# What is `log_mean` for? The logarithm of a mean is larger than the mean of the logarithms, and the gap is largest for weakly expressed
# genes. So `log1p` of a denoised rate is *not* on the same scale as log-normalised raw values. Compare the means over the monocytes, at the
# median depth of all cells:

# %%
typical = float(np.median(depth))
scae.tl.denoise(adata, model, kind="rate", library_size=typical, key_added="at_depth")
scae.tl.denoise(adata, model, kind="log_mean", library_size=typical, key_added="at_depth_log")
compared = pd.DataFrame(
    {
        "mean of raw log-normalised": log_raw[mono].mean(0),
        "log1p of the denoised rate": np.log1p(np.asarray(adata.layers["at_depth"])[mono] * 1e4 / typical).mean(0),
        "log_mean": np.asarray(adata.layers["at_depth_log"])[mono].mean(0),
    },
    index=adata.var_names,
)
compared.loc[["LYZ", "FCER1G", "CD3D", "CD8A", "MS4A1"]].round(2)

# %% [markdown]
# For LYZ the three nearly agree. CD3D is a T-cell gene that only a few monocytes show; there `log1p` of the rate is twice the raw mean. For
# CD8A and MS4A1 it is several times the raw mean. `log_mean` stays close to the raw values. Use it whenever you plot raw and denoised
# values on the same logarithmic axis.
#
# ## 6. Are the zeros explained?
#
# Before you blame "dropout" for the zeros, ask whether counting noise explains them. For each gene, compare the observed share of cells
# without a count with the share that the model expects. For a gene on the diagonal, nothing is left to explain.

# %%
base = scae.presets.find("denoiser")
figure, panels = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
for panel, likelihood in zip(panels, (Poisson(), NB(), ZINB())):
    spec = dataclasses.replace(base.spec, likelihood=likelihood)
    fitted = model if likelihood == base.spec.likelihood else scae.tl.fit(adata, spec, plan=short, random_state=0)
    scae.pl.zeros(adata, fitted, ax=panel)
    panel.set_title(f"{type(likelihood).__name__}: {panel.get_title(loc='left').split(': ')[1]}", loc="left")

# %% [markdown]
# With all three likelihoods the genes lie near the diagonal: **the zeros in these data are what you expect from counting few molecules.**
# Zero inflation (ZINB) gains nothing, and its calibration error is the largest of the three. ZINB and the negative binomial both expect
# slightly *more* zeros than there are. So no zero here needs a separate cause, and none should be "repaired" just because it is a zero.
#
# If many genes lay well above the line, the likelihood would allow too little variation. If only single genes do, look at them one by
# one: batch effects and ambient RNA look like this.

# %%
ax = scae.pl.mean_variance(adata, model)

# %% [markdown]
# Grey points: the genes. Dashed line: Poisson counting noise alone. Blue line: the fitted noise of a cell's count around its own expected
# value. Orange line: the same plus the differences between cells. The orange line should run through the middle of the grey points, and it
# does. Points far above it are the marker genes, which differ between cell types far more than other genes with the same mean. If the blue
# line were as high as these points, the model would be treating biology as noise.
#
# ## Checklist
#
# 1. Are these raw counts? `scae.check(adata)`.
# 2. Does the model beat the baselines on held-out molecules? `scae.tl.cross_validate`, `scae.tl.choose`. If not, stop.
# 3. Does the relation you see lie outside its null distribution? `scae.pl.denoising(adata, "A", "B", model)`.
# 4. Is the relation present in the raw counts, at least in its sign? If not, do not believe it.
# 5. Do known gene pairs behave as they should: together, apart, and *within* one cell type?
# 6. Do you compare cells at one depth? `kind="rate"`.
# 7. Run tests and build networks on counts, never on the denoised layer.
#
# Next: [03 · compose your own](03_compose_your_own.ipynb). Before: [01 · a first embedding](01_first_embedding.ipynb).
