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

warnings.filterwarnings("ignore", category=FutureWarning)  # remarks of other packages on their own future
warnings.filterwarnings("ignore", message="IProgress not found")  # and on progress bars
plt.rcParams["figure.dpi"] = 80
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"

adata = scae.datasets.pbmc68k_reduced()
# adata = sc.datasets.pbmc3k(); scae.pp.recipe(adata); adata.X = adata.layers["counts"]  # the real download: 2,000 genes, no labels
adata

# %% [markdown]
# ## 1. Denoise
#
# `X` holds raw counts. One call fits the default for denoising and writes `layers["denoised"]`; the counts are never touched.
#
# We say how long to train outright, because later sections compare with it: section 4 shows the evidence that it is right for so
# few cells.

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
# **How to read it.** Left to right: the raw counts; the denoised values; one typical pair of permuted copies, denoised, on the same
# axes; and the correlations of all hundred permuted pairs. **Note how wide that heap is:** genes without any relation reach |r| = 0.4. The blue
# line outside of it says that this relation is not of the model's making. A blue line inside the heap says nothing at all, however pretty the second panel looks.
#
# Mark also the first panel: the raw correlation is there already. Denoising should *sharpen* a relation that raw counts hint at. Where
# the raw counts show none, be twice as careful.
#
# Is the relation between cell types, or also among the cells of one type? Only the second would be news. Look within the B cells, and at
# pairs that should not go together.

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
# Signs stay and sizes grow. CD79A with CD79B, and LYZ with CST3, were correlated before; CD3D and LYZ were apart. Within B cells the
# correlation is half as large: most of what the first row shows is that B cells differ from the rest, which we knew. CD4 and CD8A in T
# cells are the instructive pair. Helper and killer cells do exclude each other, so the sign is right; but of CD4 and CD8A the raw counts
# hold few molecules, and −0.17 has become −0.58. The *direction* is in the data; the *strength* is the model's.
#
# ## 3. Signal or invention? All genes
#
# ### Decoys
#
# Make twenty genes that carry no biology: take twenty real genes and hand their molecules to random cells, deep cells getting more.
# Denoise them among all others. Whatever structure they show afterwards, the model has put there.

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
    """|r| of all pairs of columns."""
    return np.abs(np.corrcoef(x.T)[np.triu_indices(x.shape[1], 1)])


def called(x: np.ndarray, genes: np.ndarray) -> int:
    """How many genes a Wilcoxon test calls different between monocytes and B cells (false discovery rate 0.05)."""
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
# **Here is the invention, in the open.** Decoys have nothing to do with each other, and yet their median |r| is three times what it
# was. Of twenty genes without any biology, nine are called different between monocytes and B cells: the model gives each a slight
# dependence on the code, and without noise the slightest difference is significant. So are nine tenths of the real genes, against half
# in the raw counts. (Three decoys pass in the raw values also: log-normalised values keep a trace of depth, and the two types differ in
# depth.)
#
# Two rules follow. **Never test on denoised values. Never build a gene network from them.** A correlation of 0.3 there is nothing.
#
# ### A thinned replicate
#
# The best judge is a second run of the same cells. It can be had: give each molecule to run A or to run B by the toss of a coin. Given
# the cell, A and B are independent, so what the model learns from A and finds again in B is signal.
#
# Fit to A. Sort the cells by what the model predicts for a gene, cut them into ten groups, and ask what B says of each group. On the
# diagonal the model is right. Where B is *flatter* than the prediction, the model invents differences. One number per gene: the
# **slope** of B on the prediction. 1 is calibrated; 0.5 says that half of the predicted differences are not there.
#
# Three models: the default for denoising (β 0.1: a loose code), the same with a full KL cost (β 1), and one that is made to fail, with
# no corruption, no cost on the code, and long training, so that it learns the noise by heart.

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
    """Slope of run B on the prediction, gene by gene."""
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
        scale("function", functions=(lambda v: np.sqrt(np.maximum(v, 0)), np.square))  # room for the low groups
    panel.set(xlim=(0, top), title=gene, xlabel="predicted from run A, per 10⁴", ylabel="seen in run B, per 10⁴")
    panel.legend(fontsize=7, frameon=False, loc="upper left")
    panel.set_ylim(0, 1.9 * top)
    panel.locator_params(nbins=6)

# %% [markdown]
# Read the table first.
#
# * **Raw counts predict a second run badly**: of the difference between two cells' counts of a typical gene only a sixth is there in run
#   B. That is the case *for* denoising.
# * **The denoiser** is right to about an eighth for the hundred most variable genes, the markers. For the typical gene its differences
#   are too wide: four tenths of them are not there. Trust it for strong genes, and be careful with weak ones.
# * **A full KL cost (β = 1)** is more cautious, and closer to 1 for the typical gene; for the strongest markers it gains nothing (LYZ). If you
#   look at weak genes, take it.
# * **By heart** is hardly better than no model for the typical gene, though LYZ looks well. Its layer looks as smooth as the others; no
#   picture of it alone would have told.
#
# In the picture, markers lie near the diagonal for all. The last panel is a gene of middling variance: groups that are predicted
# to differ several-fold hardly differ in run B. Such genes are most of the layer, and one sees it only this way.
#
# (Run A has half the molecules. With all of them each model does better than this.)
#
# ## 4. Choose the model by evidence
#
# Which model, which size, how long to train? The held-out molecules decide. `scae.tl.cross_validate` hides a tenth of the molecules,
# fits each candidate to the rest and asks what share of the hidden molecules' deviance it explains beyond *gene mean × depth*: 0 is no
# better than the gene mean, below 0 is worse. Three baselines stand beside: the gene mean, the raw counts shrunk towards it, and PCA.
#
# `scae.tl.choose` then takes the *simplest* candidate that is within one standard error of the best, if it also beats the best baseline
# by more than one.

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
# **What it says.** (The number beside a name is how many weights it has; filled marks are within one standard error of the best.)
#
# * A code of two numbers a cell is too small, one of eight is enough, and thirty-two are no better: so eight it is.
# * 150 steps are too few, and 1,500 are too many: with only 700 cells the model begins to learn them by heart. The default plan
#   therefore stops after 75 passes over the cells (`max_epochs`), which are 450 steps here. With your own data, ask as here.
# * *By heart* is no better than PCA: what it gains by flexibility it spends on noise.
#
# ### "Do not denoise this"
#
# A good test must be able to say no. Make cells without any structure: the same depths, the same gene means, nothing else. There is
# nothing to learn, and every difference that a denoiser shows would be invented.

# %%
share = totals / totals.sum()
nothing = np.stack([rng.multinomial(int(d), share) for d in depth]).astype("float32")
empty = AnnData(sp.csr_matrix(nothing), var=pd.DataFrame(index=adata.var_names))
verdict = scae.tl.choose(scae.tl.cross_validate(empty, ["denoiser"], n_splits=2, plan=short, random_state=0))
print(verdict.model)
print(verdict.reason)

# %% [markdown]
# `model` is `None`. Take that answer when you get it. Cells that are all alike, very shallow or very few end there.
#
# ## 5. Depth
#
# A cell with twice the molecules has twice the counts of everything, and so, by default, has its denoised version:
#
# | `kind=` | values | use it for |
# |---|---|---|
# | `"mean"` | expected counts at the cell's own depth | comparison with its raw counts |
# | `"rate"` | expected counts per 10⁴ of the modelled genes | comparison between cells: pictures, scatter |
# | `"log_mean"` | expected log-normalised value | comparison with means of scanpy's log-normalised values |
# | `"sample"` | a draw of counts | checks of the model |
#
# Within one type depth is mostly technical. How strongly do genes follow it in the monocytes?

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
# With `"mean"` a gene follows depth because the cell was sampled deeply; with `"rate"` the typical gene does not. Some genes still do, at
# one depth or the other: large cells may differ from small ones in earnest. Compare *between* cells with `"rate"`.
#
# And `log_mean`? The logarithm of an expectation is larger than the expectation of a logarithm, most of all for weak genes. So
# `log1p` of a denoised rate is *not* on the scale of log-normalised raw values. At the median depth of these cells, over monocytes:

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
# For LYZ all three nearly agree. For CD3D, a T-cell gene that monocytes show only here and there, `log1p` of the rate is twice the raw
# mean, and for CD8A and MS4A1 several times; `log_mean` lands near the raw values. Whoever draws raw and denoised values on one logarithmic axis needs it.
#
# ## 6. Are the zeros explained?
#
# Before you blame "dropout" for zeros, ask whether counting noise explains them. For each gene: the share of cells without a count,
# seen and expected. On the diagonal nothing is left to explain.

# %%
base = scae.presets.find("denoiser")
figure, panels = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
for panel, likelihood in zip(panels, (Poisson(), NB(), ZINB())):
    spec = dataclasses.replace(base.spec, likelihood=likelihood)
    fitted = model if likelihood == base.spec.likelihood else scae.tl.fit(adata, spec, plan=short, random_state=0)
    scae.pl.zeros(adata, fitted, ax=panel)
    panel.set_title(f"{type(likelihood).__name__}: {panel.get_title(loc='left').split(': ')[1]}", loc="left")

# %% [markdown]
# All three lie near the diagonal: **the zeros of these data are what counting few molecules gives.** Zero inflation (ZINB) gains nothing, and
# its error is the largest; both it and the negative binomial expect slightly *more* zeros than there are. So no zero here needs a
# separate cause, and none should be "repaired" for being a zero. If many genes lay well above the line, the likelihood would be too narrow;
# if single genes do, look at them: batch effects and ambient RNA look so.

# %%
ax = scae.pl.mean_variance(adata, model)

# %% [markdown]
# Grey: the genes. Dashed: pure counting noise. Blue: noise of a cell around its own expectation, as fitted. Orange adds the differences
# between cells; it should run through the middle of the grey, as it does. Genes high above are the markers, which differ between types
# far more than other genes of their mean. Were the blue curve up among them, the model would call biology noise.
#
# ## Checklist
#
# 1. Raw counts in? `scae.check(adata)`.
# 2. Does the choice beat the baselines on held-out molecules? `scae.tl.cross_validate`, `scae.tl.choose`. If not, stop.
# 3. Is the relation you see outside its null? `scae.pl.denoising(adata, "A", "B", model)`.
# 4. Is it there in raw counts too, at least its sign? If not, do not believe it.
# 5. Do known pairs behave: together, apart, and *within* one type?
# 6. Compare cells at one depth: `kind="rate"`.
# 7. Tests, p-values, networks: on counts, never on the denoised layer.
#
# Next: [03 · compose your own](03_compose_your_own.ipynb). Before: [01 · a first embedding](01_first_embedding.ipynb).
