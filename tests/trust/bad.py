"""Tables of what can be wrong with an input: values, objects and options; of the kinds of matrix, and of the verbs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData
from helpers import QUICK
from storages import IN_MEMORY, LAZY

import scae
from scae import external, pp, tl

Values = np.ndarray
PLAN = scae.TrainPlan(epochs=1, min_steps=2, max_steps=2, batch_size=64)  # for faults that must be found before any step


def counts() -> Values:
    """Counts without an empty cell or gene, ``(60, 40)`` float32."""
    x = np.random.default_rng(0).poisson(1.0, (60, 40)).astype(np.float32)
    x[:, 0] += 1
    x[0] += 1
    return x


def with_columns(adata: AnnData) -> AnnData:
    """Sound and unsound columns, and slots that are taken."""
    n = adata.n_obs
    if not n:
        return adata
    adata.obs["batch"], adata.obs["donor"] = ["a", "b"] * (n // 2), ["p", "q"] * (n // 2)
    adata.obs["age"] = adata.obs["depth"] = np.linspace(20, 80, n)
    adata.obs["holes"] = pd.Categorical([None, *adata.obs["batch"][1:]])
    adata.obs["gaps"] = adata.obs["age"].where(adata.obs["age"] > 30)
    adata.obs["endless"] = np.r_[np.inf, np.ones(n - 1)]
    adata.obs["zeros"], adata.obs["minus"] = np.r_[0.0, np.ones(n - 1)], np.r_[-1.0, np.ones(n - 1)]
    adata.obs["taken"] = 1
    adata.var["words"], adata.var["none"] = "word", False
    adata.var["taken"] = 1
    adata.obsm["taken"] = np.ones((n, 2))
    adata.varm["taken"] = np.ones((adata.n_vars, 2))
    adata.layers["taken"] = np.ones(adata.shape, np.float32)
    adata.uns["taken"] = 1
    return adata


# ---- values that are not counts


def _put(value: float) -> Callable[[Values], Values]:
    def put(x: Values) -> Values:
        x[7, 3] = value
        return x

    return put


VALUES: dict[str, Callable[[Values], Values]] = {
    "negative": _put(-1),
    "NaN": _put(np.nan),
    "infinite": _put(np.inf),
    "minus infinity": _put(-np.inf),
    "1e30": _put(1e30),
    "one fraction": _put(2.5),
    "fractions": lambda x: x / np.float32(3),
    "log-normalised": lambda x: np.log1p(1e4 * x / x.sum(1, keepdims=True)),
    "scaled": lambda x: (x - x.mean(0)) / x.std(0),
}
WHOLE = ("negative",)  # what a matrix of integers can hold


# ---- kinds of matrix


@dataclass(frozen=True)
class Kind:
    """A way of storing a matrix: how, in which dtype, in ``X`` or in a layer, and whether in a file."""

    store: Callable[[Values], Any]
    dtype: str = "float32"
    layer: bool = False
    backed: bool = False

    def make(self, values: Values, folder: Path) -> AnnData:
        """AnnData that holds the values."""
        x = self.store(values.astype(self.dtype))
        adata = with_columns(AnnData(self.store(counts()) if self.layer else x))
        if self.layer:
            adata.layers["counts"] = x
        if not self.backed:
            return adata
        adata.write_h5ad(folder / "backed.h5ad")
        return anndata.read_h5ad(folder / "backed.h5ad", backed="r")


_CSR, _CSC, _C, _F = (IN_MEMORY[name] for name in ("csr", "csc", "C", "F"))
KINDS = {
    "CSR": Kind(_CSR),
    "CSC": Kind(_CSC),
    "C": Kind(_C),
    "F": Kind(_F),
    "CSR float64": Kind(_CSR, "float64"),
    "CSC float64": Kind(_CSC, "float64"),
    "C float64": Kind(_C, "float64"),
    "CSR int32": Kind(_CSR, "int32"),
    "CSC int64": Kind(_CSC, "int64"),
    "C int64": Kind(_C, "int64"),
    "F int16": Kind(_F, "int16"),
    "CSR array": Kind(IN_MEMORY["csr array"]),
    "unsorted CSR": Kind(IN_MEMORY["unsorted csr"]),
    "dask": Kind(LAZY["dask"]),
    "dask of CSR": Kind(LAZY["dask of csr"]),
    "layer, CSR": Kind(_CSR, layer=True),
    "layer, C": Kind(_C, layer=True),
    "backed CSR": Kind(_CSR, backed=True),
    "backed CSC": Kind(_CSC, backed=True),
    "backed C": Kind(_C, backed=True),
}
PLAIN = ("CSR", "CSC", "C", "F")  # for faults that are not about the matrix


# ---- verbs


@dataclass(frozen=True)
class Verb:
    """A verb with sound options; other options go on top of them.

    Attributes
    ----------
    call
        The verb.
    sound
        Its options.
    layer
        Whether it has the option ``layer``.
    counts
        Whether it refuses values that are not counts.
    model
        Makes the fitted model that it takes, if it takes one.
    """

    call: Callable[..., Any]
    sound: dict[str, Any]
    layer: bool = True
    counts: bool = True
    model: Callable[[], Any] | None = None

    def __call__(self, adata: Any, **options: Any) -> Any:
        given = self.sound | ({"model": self.model()} if self.model else {}) | options
        return self.call(adata, **given)


@lru_cache
def a_model(preset: str = "vae", **keys: Any) -> scae.Autoencoder:
    """A model that was fitted to sound counts."""
    return tl.fit(with_columns(AnnData(_CSR(counts()))), preset, plan=PLAN, device="cpu", **keys)


def with_batches() -> scae.Autoencoder:
    return a_model(batch_key="batch", continuous_covariates="age")


def linear() -> scae.Autoencoder:
    return a_model("ldvae")


def _check(adata: AnnData, **options: Any) -> None:
    scae.check(adata, **options).raise_errors()


FIT = {"plan": PLAN, "device": "cpu"}
TL = {
    "check": Verb(_check, {}),
    "tl.fit": Verb(tl.fit, FIT),
    "tl.embed": Verb(tl.embed, FIT),
    "tl.denoise": Verb(tl.denoise, FIT),
    "tl.cross_validate": Verb(tl.cross_validate, FIT | {"specs": ["vae"], "n_splits": 1}),
    "tl.embed of a model": Verb(tl.embed, {}, model=with_batches),
    "tl.denoise of a model": Verb(tl.denoise, {}, model=with_batches),
    "tl.score": Verb(tl.score, {"n_samples": 1}, model=with_batches),
    "tl.dispersion": Verb(tl.dispersion, {}, layer=False, model=with_batches),
    "tl.loadings": Verb(tl.loadings, {}, layer=False, model=linear),
    "external.dca": Verb(external.dca, {"epochs": 1}, layer=False),
}
PP = {
    "pp.calculate_qc_metrics": Verb(pp.calculate_qc_metrics, {"percent_top": (5,), "inplace": True}, counts=False),
    "pp.filter_cells": Verb(pp.filter_cells, {"min_genes": 3}, counts=False),
    "pp.filter_genes": Verb(pp.filter_genes, {"min_cells": 3}, counts=False),
    "pp.normalize_total": Verb(pp.normalize_total, {}, counts=False),
    "pp.log1p": Verb(pp.log1p, {}, counts=False),
    "pp.scale": Verb(pp.scale, {}, counts=False),
    "pp.highly_variable_genes": Verb(pp.highly_variable_genes, {"flavor": "seurat_v3"}, counts=False),
    "pp.downsample_counts": Verb(pp.downsample_counts, {"counts_per_cell": 5}),
    "pp.thin_counts": Verb(pp.thin_counts, {}),
    "pp.size_factors": Verb(pp.size_factors, {}),
    "pp.rank_by_deviance": Verb(pp.rank_by_deviance, {}),
    "pp.recipe": Verb(pp.recipe, {"min_genes": 1, "min_cells": 1, "n_top_genes": 5}, layer=False),
}
VERBS = TL | PP
FITTING = ("tl.fit", "tl.embed", "tl.denoise", "tl.cross_validate")


# ---- objects


def _with_x(x: Any) -> Callable[[], AnnData]:
    def make() -> AnnData:
        return with_columns(AnnData(x, shape=None if x is not None else (60, 40)))

    return make


def _twice() -> AnnData:
    adata = with_columns(AnnData(_CSR(counts())))
    adata.var_names = ["same", "same", *adata.var_names[2:]]
    return adata


def _record() -> AnnData:
    adata = with_columns(AnnData(_CSR(counts())))
    adata.uns["scae"] = "mine"
    return adata


WRITING = tuple(name for name in TL if name not in ("check", "tl.fit", "tl.cross_validate"))
# fault: (object, part of the message, verbs that refuse it)
OBJECTS: dict[str, tuple[Callable[[], Any], str, tuple[str, ...]]] = {
    "X is None": (_with_x(None), "X is None", tuple(VERBS)),
    "complex values": (_with_x(counts().astype(complex)), "complex128", tuple(VERBS)),
    "objects": (_with_x(counts().astype(object)), "object", tuple(VERBS)),
    "texts": (_with_x(counts().astype(str)), "<U", tuple(VERBS)),
    "no cells": (_with_x(counts()[:0]), "0 × 40", tuple(TL)[:5]),
    "no genes": (_with_x(counts()[:, :0]), "60 × 0", tuple(TL)),
    "gene names twice": (_twice, "same", tuple(TL)),
    "a record of the user's own": (_record, r"uns\['scae'\]", (*WRITING, "pp.thin_counts", "pp.size_factors")),
    "a path": (lambda: "counts.h5ad", "str", tuple(VERBS)),
    "None": (lambda: None, "NoneType", tuple(VERBS)),
    "a list": (lambda: [[1.0, 2.0]], "list", tuple(VERBS)),
    "a table": (lambda: pd.DataFrame(counts()), "DataFrame", tuple(VERBS)),
}


# ---- options: verbs, and for each fault the options and a part of the message

_KEYS = {
    "layer with a close match": ({"layer": "takn"}, "did you mean 'taken'"),
    "no such layer": ({"layer": "zzz"}, "unknown layer 'zzz'"),
    "no such batch": ({"batch_key": "batc"}, "did you mean 'batch'"),
    "no such category": ({"categorical_covariates": ["donr"]}, "did you mean 'donor'"),
    "no such covariate": ({"continuous_covariates": ["agee"]}, "did you mean 'age'"),
    "no such size factor": ({"size_factor": "depht"}, "did you mean 'depth'"),
    "batch with missing values": ({"batch_key": "holes"}, r"obs\['holes'\] has 1 missing"),
    "category with missing values": ({"categorical_covariates": ["holes"]}, r"obs\['holes'\] has 1 missing"),
    "covariate with missing values": ({"continuous_covariates": ["gaps"]}, r"obs\['gaps'\] has \d+ missing"),
    "covariate of texts": ({"continuous_covariates": ["donor"]}, r"obs\['donor'\].*must be numeric"),
    "infinite covariate": ({"continuous_covariates": ["endless"]}, r"obs\['endless'\]"),
    "size factor of zero": ({"size_factor": "zeros"}, r"obs\['zeros'\]"),
    "negative size factor": ({"size_factor": "minus"}, r"obs\['minus'\]"),
    "infinite size factor": ({"size_factor": "endless"}, r"obs\['endless'\]"),
    "size factor of texts": ({"size_factor": "donor"}, r"obs\['donor'\]"),
    "no such mask": ({"mask_var": "wrods"}, "did you mean 'words'"),
    "mask of texts": ({"mask_var": "words"}, "mask_var has dtype"),
    "mask without genes": ({"mask_var": "none"}, "mask_var chooses no gene"),
    "short mask": ({"mask_var": np.ones(3, bool)}, r"mask_var has .*\(3,\)"),
    "mask of numbers": ({"mask_var": np.ones(40)}, "mask_var has dtype float64"),
    "batch by number": ({"batch_key": 3}, "batch_key is 3"),
    "covariates by number": ({"categorical_covariates": 3}, "categorical_covariates is 3"),
    "two batches": ({"batch_key": ["batch", "donor"]}, "batch_key is"),
}
_TRAINING = {
    "plan of a dict": ({"plan": {}}, "plan is a dict"),
    "plan of a name": ({"plan": "quick"}, "plan is a str"),
    "no such device": ({"device": "tpu"}, "device"),
    "device by number": ({"device": 3}, "device"),
    "negative seed": ({"random_state": -1}, "random_state is -1"),
    "fractional seed": ({"random_state": 1.5}, r"random_state is 1\.5"),
    "seed of text": ({"random_state": "a"}, "random_state is 'a'"),
    "checkpoint by number": ({"checkpoint": 3}, "checkpoint"),
    "labels without a use": ({"label_key": "donor"}, "label_key is 'donor'"),
}
_MODELS = {
    "no such preset": ({"model": "vea"}, "did you mean 'vae'"),
    "model by number": ({"model": 3}, "model is a int"),
    "no model": ({"model": None}, "model is a NoneType"),
}
_SLOT = {
    "slot with a slash": ({"key_added": "a/b"}, "'a/b'"),
    "empty slot": ({"key_added": ""}, "the key ''"),
    "slot by number": ({"key_added": 3}, "the key 3"),
    "taken slot": ({"key_added": "taken"}, r"\['taken'\] is there already"),
}
_UNFITTED = {"preset for a fitted model": ({"model": "vae"}, "model is a str"), "no fitted model": ({"model": None}, "NoneType")}
_SETTLED = {"key for a fitted model": ({"batch_key": "batch"}, "batch_key"), "plan for a fitted model": ({"plan": QUICK}, "plan")}
_DENOISING = {
    "no such kind": ({"kind": "men"}, "kind is 'men'"),
    "library size of zero": ({"library_size": 0}, "library_size is 0"),
    "infinite library size": ({"library_size": np.inf}, "library_size is inf"),
    "technical noise below zero": ({"kind": "posterior", "technical_cv2": -1}, "technical_cv2 -1"),
    "no such spike-ins": ({"kind": "posterior", "technical_cv2": "zzz"}, "unknown spike-ins 'zzz'"),
    "technical noise of a mean": ({"technical_cv2": 0.1}, "technical_cv2 is 0.1"),
    "standard deviation of a mean": ({"with_sd": True}, "with_sd is True"),
    "standard deviation by text": ({"kind": "posterior", "with_sd": "yes"}, "with_sd is 'yes'"),
    "posterior in another batch": ({"kind": "posterior", "at_batch": "zzz"}, "at_batch is 'zzz'"),
    "draws of text": ({"n_samples": "3"}, "n_samples '3'"),
    "negative draws": ({"n_samples": -1}, "n_samples -1"),
    "no such gene": ({"genes": ["1000"]}, "unknown gene '1000'"),
    "no genes": ({"genes": []}, "genes is empty"),
    "a gene twice": ({"genes": ["1", "1"]}, "repeats '1'"),
    "genes by number": ({"genes": 5}, "genes is 5"),
    "no such batch level": ({"at_batch": "zzz"}, "at_batch is 'zzz'|'zzz'"),
}
_BATCH = {
    "no such batch": ({"batch_key": "batc"}, "did you mean 'batch'"),
    "batch with missing values": ({"batch_key": "holes"}, r"obs\['holes'\] has 1 missing"),
    "batch by number": ({"batch_key": 3}, "unknown obs column 3"),
}
_TOP = {
    "n_top_genes=-5": ({"n_top_genes": -5}, "n_top_genes is -5"),
    "n_top_genes=2.5": ({"n_top_genes": 2.5}, r"n_top_genes is 2\.5"),
    "n_top_genes of text": ({"n_top_genes": "many"}, "n_top_genes is 'many'"),
}
_TARGET = {
    "target_sum=-1": ({"target_sum": -1}, "target_sum is -1"),
    "target_sum=NaN": ({"target_sum": np.nan}, "target_sum is nan"),
    "target_sum of text": ({"target_sum": "all"}, "target_sum is 'all'"),
}
_QC = {
    "no such set of genes": ({"qc_vars": ["wrods"]}, "did you mean 'words'"),
    "set of texts": ({"qc_vars": ["words"]}, r"var\['words'\] must be boolean"),
    "percent_top=0": ({"percent_top": (0,)}, "percent_top"),
    "percent_top=1.5": ({"percent_top": (1.5,)}, r"percent_top has the entry 1\.5"),
}
_FLAVOR = {"no such flavour": ({"flavor": "suerat"}, "flavor is 'suerat'")}
_SEED = {
    "negative seed": ({"random_state": -1}, "random_state is -1"),
    "seed of text": ({"random_state": "a"}, "random_state is"),
}


def _limits(sound: str) -> dict[str, tuple[dict[str, Any], str]]:
    """Wrong limits in place of the sound one."""
    return {
        "no limit": ({sound: None}, "0 limits"),
        "two limits": ({"min_counts": 1}, "2 limits"),
        "negative limit": ({sound: -1}, "is -1"),
        "limit of text": ({sound: "few"}, "is 'few'"),
        "limit NaN": ({sound: np.nan}, "is nan"),
    }


_LAYER = {"layer with a close match": ({"layer": "takn"}, "did you mean 'taken'")}
_NEED_LAYER = tuple(name for name, verb in VERBS.items() if verb.layer and name not in ("check", *FITTING))

OPTIONS: list[tuple[tuple[str, ...], dict[str, tuple[dict[str, Any], str]]]] = [
    (("check", *FITTING), _KEYS),
    (FITTING, _TRAINING),
    (FITTING[:3], _MODELS),
    (_NEED_LAYER, _LAYER),
    (tuple(name for name in TL if name.split(" ")[0] in ("tl.embed", "tl.denoise", "tl.score", "tl.dispersion")), _SLOT),
    (("tl.loadings", "tl.cross_validate"), _SLOT),
    (("tl.score", "tl.dispersion", "tl.loadings"), _UNFITTED),
    (("tl.embed of a model", "tl.denoise of a model"), _SETTLED),
    (("tl.denoise", "tl.denoise of a model"), _DENOISING),
    (("tl.score",), {f"n_samples={n!r}": ({"n_samples": n}, f"n_samples is {n!r}") for n in (0, "3", 1.5)}),
    (("tl.dispersion",), {"no dispersion": ({"model": None}, "model")}),
    (
        ("tl.cross_validate",),
        {
            "no candidate": ({"specs": []}, "specs names nothing"),
            "no such candidate": ({"specs": ["vea"]}, "did you mean 'vae'"),
            "candidates by number": ({"specs": 3}, "specs is a int"),
            "a baseline": ({"specs": {"PCA": "vae"}}, "'PCA'"),
            "no splits": ({"n_splits": 0}, "n_splits is 0"),
            "seeds of text": ({"n_seeds": "3"}, "n_seeds '3'"),
            "train_share=1": ({"train_share": 1}, "train_share 1"),
            "train_share=NaN": ({"train_share": np.nan}, "train_share nan"),
        },
    ),
    (
        ("external.dca",),
        {
            "no such mode": ({"mode": "denoize"}, "did you mean 'denoise'"),
            "no such ae_type": ({"ae_type": "nb-cond"}, "nb-cond"),
            "no such activation": ({"activation": "rellu"}, "rellu"),
            "hidden_size=0": ({"hidden_size": (0,)}, "0"),
            "epochs=0": ({"epochs": 0}, "epochs"),
            "batch_size of text": ({"batch_size": "a"}, "batch_size"),
            "seed of text": ({"random_state": "a"}, "random_state is 'a'"),
            "negative learning rate": ({"learning_rate": -1.0}, "lr|learning_rate"),
            "no such option": ({"hiden_size": (3,)}, "did you mean 'hidden_size'"),
            "penalty": ({"l2": 0.1}, "l2"),
        },
    ),
    (("pp.highly_variable_genes", "pp.rank_by_deviance", "pp.recipe"), _TOP | _BATCH),
    (("pp.highly_variable_genes", "pp.recipe"), _FLAVOR),
    (("pp.normalize_total", "pp.recipe"), _TARGET),
    (("pp.calculate_qc_metrics", "pp.recipe"), _QC),
    (("pp.filter_cells",), _limits("min_genes")),
    (("pp.filter_genes",), _limits("min_cells")),
    (("pp.thin_counts", "pp.downsample_counts"), _SEED),
    (
        ("pp.calculate_qc_metrics",),
        {
            "percent_top=1000": ({"percent_top": (1000,)}, r"percent_top is \[1000\]"),
            "raw is None": ({"use_raw": True}, "use_raw"),
            "raw and a layer": ({"use_raw": True, "layer": "taken"}, "use_raw.*layer"),
        },
    ),
    (
        ("pp.normalize_total",),
        {
            "max_fraction=2": ({"max_fraction": 2}, "max_fraction is 2"),
            "slot with a slash": ({"key_added": "a/b"}, "key_added is 'a/b'"),
            "copy without a place": ({"copy": True, "inplace": False}, "copy=True"),
        },
    ),
    (("pp.log1p",), {f"base={b!r}": ({"base": b}, f"base is {b!r}") for b in (0, 1, -2, "e")}),
    (
        ("pp.scale",),
        {
            "max_value=-1": ({"max_value": -1}, "max_value is -1"),
            "no such mask of cells": ({"mask_obs": "msak"}, "'msak'"),
            "short mask of cells": ({"mask_obs": np.ones(3, bool)}, "3 entries"),
            "mask of texts": ({"mask_obs": "donor"}, r"obs\['donor'\]"),
            "no such entry of obsm": ({"obsm": "takn"}, "did you mean 'taken'"),
        },
    ),
    (
        ("pp.highly_variable_genes",),
        {
            "span=2": ({"span": 2}, "span is 2"),
            "n_bins=0": ({"n_bins": 0}, "n_bins is 0"),
            "theta=-1": ({"flavor": "pearson_residuals", "n_top_genes": 5, "theta": -1}, "theta is -1"),
            "clip=-1": ({"flavor": "pearson_residuals", "n_top_genes": 5, "clip": -1}, "clip is -1"),
            "residuals of no genes": ({"flavor": "pearson_residuals"}, "n_top_genes"),
        },
    ),
    (
        ("pp.downsample_counts",),
        {
            "counts_per_cell=-1": ({"counts_per_cell": -1}, "counts_per_cell"),
            "counts_per_cell=1.5": ({"counts_per_cell": 1.5}, "counts_per_cell"),
            "counts of few cells": ({"counts_per_cell": [1, 2]}, "counts_per_cell"),
            "two targets": ({"total_counts": 5}, "Both of"),
            "no target": ({"counts_per_cell": None}, "Neither of"),
        },
    ),
    (
        ("pp.thin_counts",),
        {
            **{f"fraction={f!r}": ({"fraction": f}, f"fraction is {f!r}") for f in (0, 1, np.nan, "half")},
            "slot with a slash": ({"key_train": "a/b"}, "key_train is 'a/b'"),
            "taken slot": ({"key_test": "taken"}, r"layers\['taken'\] already exists"),
            "one slot for both": ({"key_test": "train"}, "train"),
        },
    ),
    (
        ("pp.size_factors",),
        {
            "no such method": ({"method": "totl"}, "did you mean 'total'"),
            "slot with a slash": ({"key_added": "a/b"}, "key_added is 'a/b'"),
            "taken slot": ({"key_added": "taken"}, r"obs\['taken'\] already exists"),
        },
    ),
    (
        ("pp.rank_by_deviance",),
        {
            "no such family": ({"family": "binomal"}, "did you mean 'binomial'"),
            "part of no number": ({"subset": True}, "n_top_genes"),
        },
    ),
    (
        ("pp.recipe",),
        {
            "min_genes=-1": ({"min_genes": -1}, "min_genes is -1"),
            "min_cells of text": ({"min_cells": "few"}, "min_cells is 'few'"),
            "no cell passes": ({"min_genes": 41}, "min_genes"),
            "no gene passes": ({"min_cells": 61}, "min_cells"),
            "slot with a slash": ({"key_counts": "a/b"}, "key_counts is 'a/b'"),
            "taken slot": ({"key_counts": "taken"}, "taken"),
        },
    ),
]

# options of a plan, a part or a table, which are refused without AnnData: name, call, part of the message
ALONE: dict[str, tuple[Callable[[], Any], str]] = {
    "lr=-1": (lambda: scae.TrainPlan(lr=-1), "lr is -1"),
    "lr=NaN": (lambda: scae.TrainPlan(lr=np.nan), "lr is nan"),
    "epochs=-1": (lambda: scae.TrainPlan(epochs=-1), "epochs is -1"),
    "epochs=1.5": (lambda: scae.TrainPlan(epochs=1.5), r"epochs is 1\.5"),
    "batch_size of text": (lambda: scae.TrainPlan(batch_size="a"), "batch_size is 'a'"),
    "held_out=1": (lambda: scae.TrainPlan(held_out=1), "held_out is 1"),
    "no such optimizer": (lambda: scae.TrainPlan(optimizer="adam"), "optimizer is 'adam'"),
    "dim=0": (lambda: scae.bottlenecks.Gaussian(dim=0), "dim is 0"),
    "beta of text": (lambda: scae.bottlenecks.Gaussian(beta="one"), "beta is 'one'"),
    "hidden=0": (lambda: scae.networks.MLP(hidden=(0,)), "hidden is|0"),
    "dropout=2": (lambda: scae.networks.MLP(dropout=2.0), r"dropout is 2\.0"),
    "no such link": (lambda: scae.likelihoods.NB(link="exq"), "link is 'exq'"),
    "grid of no such option": (lambda: tl.grid("vae", bottleneck_dmi=[8]), "did you mean 'bottleneck_dim'"),
    "grid of no such value": (lambda: tl.grid("vae", bottleneck_dim=[-8]), "dim is -8"),
    "grid of no such preset": (lambda: tl.grid("vea", lr=[1e-3]), "did you mean 'vae'"),
    "choice from no table": (lambda: tl.choose(pd.DataFrame({"model": ["vae"]})), "columns"),
    "choice by no such order": (lambda: tl.choose(pd.DataFrame(), order="n_parameter"), "did you mean 'n_parameters'"),
    "no such model file": (lambda: scae.load("none.scae"), r"none\.scae"),
}
