"""Ways of storing a matrix: each verb gives what it gives for sorted CSR in memory, or refuses by name where it says so."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
import zarr
from anndata import AnnData
from anndata.io import sparse_dataset, write_elem
from storages import IN_MEMORY, LAZY

import scae
from scae import external, pp, tl
from scae.errors import ScaeError
from scae.pp._arguments import BackedError

from .cases import Case, sample
from .figure import Figure

PROMISES = {
    "pp": "pp: the numbers of sorted CSR of the same dtype, to the last bit",
    "rounded": "pp, where sums or roundings come in another order: the same to 64 units in the last place",
    "tl": "check, tl and external: the numbers of sorted CSR in float32, to the last bit",
    "refused": "a matrix in a file or in dask that a verb says it cannot take: refused by name",
}
DTYPES = ("float32", "float64", "int32", "int64", "uint8", "uint16")
PLAN = scae.TrainPlan(epochs=1, min_steps=3, max_steps=3, batch_size=64)
Values = np.ndarray


def counts(dtype: str) -> Values:
    """Counts that fit into a byte, with an empty cell and an empty gene, ``(150, 50)``."""
    rng = np.random.default_rng(0)
    x = np.minimum(rng.poisson(rng.gamma(0.5, 2, 50) * rng.gamma(4, 0.25, (150, 1))), 200)
    x[:, 0] += 1
    x[4], x[:, 3] = 0, 0
    return x.astype(dtype)


def holding(x: Any) -> AnnData:
    """AnnData of a matrix, with columns for the verbs."""
    adata = AnnData(x)
    adata.obs["batch"] = pd.Categorical(["p", "q", "r"] * 50)
    adata.obs["mask"], adata.obs["age"] = np.arange(150) % 2 == 0, np.linspace(20, 80, 150)
    adata.var["mt"] = np.arange(50) % 4 == 0
    return adata


# ---- kinds


def _view(x: Values, _: Path) -> AnnData:
    rows = np.r_[np.arange(150), 7, 9]
    return holding_more(sp.csr_matrix(x[rows]))[:150]


def holding_more(x: Any) -> AnnData:
    """As :func:`holding`, with more cells, for a part of them."""
    adata = AnnData(x)
    some = holding(sp.csr_matrix((150, x.shape[1]))).obs
    adata.obs = some.iloc[np.arange(len(adata.obs)) % 150].set_axis(adata.obs_names)
    adata.var["mt"] = np.arange(x.shape[1]) % 4 == 0
    return adata


def _h5ad(store: Callable[[Values], Any]) -> Callable[[Values, Path], AnnData]:
    def make(x: Values, folder: Path) -> AnnData:
        holding(store(x)).write_h5ad(folder / "a.h5ad")
        return anndata.read_h5ad(folder / "a.h5ad", backed="r")

    return make


def _zarr(x: Values, folder: Path) -> AnnData:
    root = zarr.open_group(folder / "a.zarr", mode="w")
    write_elem(root, "X", sp.csr_matrix(x))
    return holding(sparse_dataset(root["X"]))


KINDS: dict[str, Callable[[Values, Path], AnnData]] = {
    name: lambda x, _, s=store: holding(s(x)) for name, store in (IN_MEMORY | LAZY).items()
}
KINDS |= {
    "view": _view,
    "backed csr": _h5ad(sp.csr_matrix),
    "backed csc": _h5ad(sp.csc_matrix),
    "backed C": _h5ad(np.ascontiguousarray),
    "backed unsorted csr": _h5ad(IN_MEMORY["unsorted csr"]),
    "zarr csr": _zarr,
}
FILES = tuple(name for name in KINDS if name.startswith(("backed", "zarr")))
BACKED = tuple(name for name in KINDS if name.startswith("backed"))
DASK = tuple(name for name in KINDS if name.startswith("dask"))
REPEATED = tuple(name for name in KINDS if "repeated" in name or name == "stale flags")
DENSE = ("C", "F", "read-only", "strided", "backed C", "dask", "dask of columns")
OTHER_BLOCKS = (*DENSE, *DASK, "explicit zeros csr", "explicit zeros csc")  # blocks of rows end elsewhere


# ---- verbs


@lru_cache
def a_model(preset: str) -> scae.Autoencoder:
    """A model that was fitted to the reference."""
    return tl.fit(holding(sp.csr_matrix(counts("float32"))), preset, plan=PLAN, device="cpu", batch_key="batch")


@dataclass(frozen=True)
class Verb:
    """A verb, and the kinds of matrix that it says it cannot take."""

    call: Callable[[AnnData], Any]
    refuses: tuple[str, ...] = ()


def _weights(adata: AnnData) -> dict[str, Values]:
    model = tl.fit(adata, plan=PLAN, device="cpu", batch_key="batch", continuous_covariates="age")
    return {name: value.numpy() for name, value in model.state_dict().items()}


def _scores(adata: AnnData) -> pd.DataFrame:
    table = tl.cross_validate(adata, ["vae"], n_splits=1, plan=PLAN, device="cpu")
    return table.drop(columns=["seconds", "seed"])


def _findings(adata: AnnData) -> str:
    return str(scae.check(adata, batch_key="batch").findings)


FIT = {"plan": PLAN, "device": "cpu"}
TL = {
    "check": Verb(_findings),
    "tl.fit": Verb(_weights),
    "tl.embed": Verb(partial(tl.embed, with_sd=True, **FIT)),
    "tl.embed of a model": Verb(lambda a: tl.embed(a, a_model("vae"))),
    "tl.denoise": Verb(partial(tl.denoise, **FIT)),
    "tl.denoise of a model": Verb(lambda a: tl.denoise(a, a_model("vae"), kind="sample")),
    "tl.cross_validate": Verb(_scores),
    "tl.score": Verb(lambda a: tl.score(a, a_model("vae"), n_samples=2)),
    "tl.dispersion": Verb(lambda a: tl.dispersion(a, a_model("vae"))),
    "tl.loadings": Verb(lambda a: tl.loadings(a, a_model("ldvae"))),
    "external.dca": Verb(partial(external.dca, epochs=1), BACKED),
}
PP = {
    "pp.calculate_qc_metrics": Verb(lambda a: pp.calculate_qc_metrics(a, qc_vars=["mt"], percent_top=(2, 5))),
    "pp.filter_cells": Verb(lambda a: pp.filter_cells(a, min_genes=9), FILES),
    "pp.filter_genes": Verb(lambda a: pp.filter_genes(a, min_counts=40), FILES),
    "pp.normalize_total": Verb(lambda a: pp.normalize_total(a, key_added="factor"), FILES),
    "pp.normalize_total of some genes": Verb(
        lambda a: pp.normalize_total(a, exclude_highly_expressed=True, max_fraction=0.2), FILES
    ),
    "pp.log1p": Verb(lambda a: pp.log1p(a, base=2), FILES),
    "pp.scale": Verb(lambda a: pp.scale(a, max_value=2), FILES),
    "pp.scale without centre": Verb(lambda a: pp.scale(a, zero_center=False, mask_obs="mask"), FILES),
    "pp.downsample_counts": Verb(lambda a: pp.downsample_counts(a, 10), FILES + DASK),
    "pp.thin_counts": Verb(pp.thin_counts, FILES + DASK),
    "pp.size_factors": Verb(lambda a: pp.size_factors(a, inplace=False)),
    "pp.size_factors by median": Verb(lambda a: pp.size_factors(a, "median_of_ratios", inplace=False)),
    "pp.rank_by_deviance": Verb(lambda a: pp.rank_by_deviance(a, batch_key="batch", n_top_genes=9, inplace=False)),
    "pp.recipe": Verb(lambda a: pp.recipe(a, min_genes=4, min_cells=3, n_top_genes=7, qc_vars=["mt"], percent_top=(3,)), FILES),
} | {
    f"pp.highly_variable_genes, {flavor}": Verb(
        lambda a, f=flavor: pp.highly_variable_genes(a, flavor=f, n_top_genes=9, batch_key="batch", inplace=False)
    )
    for flavor in ("seurat", "cell_ranger", "seurat_v3", "pearson_residuals")
}
VERBS = {"tl": TL, "pp": PP}
# verb: kinds of matrix that may differ in the last places, and in which precision; None: in that of the matrix
ROUNDED: dict[str, tuple[tuple[str, ...], str | None]] = {
    "pp.size_factors by median": (OTHER_BLOCKS, "float64"),
    "pp.rank_by_deviance": (OTHER_BLOCKS, "float64"),
    "pp.highly_variable_genes, pearson_residuals": (OTHER_BLOCKS, "float64"),
    "pp.scale": (DENSE, None),  # centres sparse values in float64
    "pp.normalize_total": (REPEATED, None),  # divides entries before they are summed
    "pp.normalize_total of some genes": (REPEATED, None),
    "pp.recipe": (tuple(name for name in KINDS if name != "csr"), None),  # reads CSR once, with moments before rounding
}
PLACES = 64  # of the greatest value; a deviance is a small difference of large sums


# ---- what a verb gave


def numbers(result: Any, adata: AnnData) -> dict[str, Values]:
    """Every number that a verb returned or left in the object, by place, as dense arrays."""
    places = {"": result, "obs": adata.obs, "var": adata.var, "X": adata.X}
    for slot in ("layers", "obsm", "varm"):
        places |= {f"{slot}[{name!r}]": value for name, value in getattr(adata, slot).items()}
    found: dict[str, Values] = {}
    for place, value in places.items():
        found |= _flat(place, value)
    return found


def _flat(place: str, value: Any) -> dict[str, Values]:
    if isinstance(value, pd.DataFrame):
        return {f"{place}.{name}": np.asarray(value[name]) for name in value} | {f"{place}.index": np.asarray(value.index)}
    if isinstance(value, dict):
        return {f"{place}.{name}": np.asarray(each) for name, each in value.items()}
    if isinstance(value, tuple):
        return {name: each for i, part in enumerate(value) for name, each in _flat(f"{place}{i}", part).items()}
    if value is None or isinstance(value, torch.nn.Module):
        return {}
    value = value[:] if hasattr(value, "group") or type(value).__module__.startswith("h5py") else value
    value = value.compute() if hasattr(value, "compute") else value
    return {place: value.toarray() if sp.issparse(value) else np.asarray(value)}


def difference(ours: dict[str, Values], theirs: dict[str, Values]) -> tuple[float, str]:
    """The greatest difference as a share of the greatest value there, and where; infinite where places or shapes differ."""
    if ours.keys() != theirs.keys():
        return np.inf, f"places: {sorted(ours.keys() ^ theirs.keys())}"
    worst = (0.0, "")
    for place, theirs_there in theirs.items():
        worst = max(worst, (_apart(ours[place], theirs_there), place))
    return worst


def _apart(a: Values, b: Values) -> float:
    if a.shape != b.shape:
        return np.inf
    if a.dtype.kind not in "biuf" or b.dtype.kind not in "biuf":
        return 0.0 if a.astype(str).tolist() == b.astype(str).tolist() else np.inf
    a, b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore"):
        off = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
    greatest = np.abs(b[np.isfinite(b)]).max(initial=0) or 1.0
    return float(np.nan_to_num(off, nan=np.inf).max(initial=0) / greatest)


def outcome(group: str, name: str, kind: str, dtype: str) -> dict[str, Values]:
    """What a verb gives for a kind of matrix."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        adata = KINDS[kind](counts(dtype), Path(folder))
        try:
            return numbers(VERBS[group][name].call(adata), adata)
        finally:
            if adata.isbacked:
                adata.file.close()


reference = lru_cache(outcome)


def _same(group: str, name: str, kind: str, dtype: str, most: float = 0.0) -> str | None:
    like = "float32" if group == "tl" else dtype
    try:
        theirs, ours = reference(group, name, "csr", like), outcome(group, name, kind, dtype)
    except Exception as error:
        return f"raises {type(error).__name__}: {error}"
    if group == "tl" and name != "external.dca":
        theirs, ours = ({place: x for place, x in found.items() if place != "X"} for found in (theirs, ours))
    off, place = difference(ours, theirs)
    return f"differs by {off:.3g} in {place}" if off > most else None


def _refused(group: str, name: str, kind: str, dtype: str) -> str | None:
    try:
        outcome(group, name, kind, dtype)
    except ScaeError as error:
        loads = isinstance(error, BackedError) or "to_memory" in str(error)
        return None if loads else f"does not say to load it: {error}"
    except Exception as error:
        return f"raises {type(error).__name__}: {error}"
    return "is accepted"


def cases() -> list[Case]:
    """Every verb with every kind in every dtype."""
    made = []
    for group, verbs in VERBS.items():
        for name, verb in verbs.items():
            for kind in KINDS:
                made += [_case(group, name, kind, dtype, kind in verb.refuses) for dtype in DTYPES]
    return made


def _case(group: str, name: str, kind: str, dtype: str, refuses: bool) -> Case:
    what = (group, name, kind, dtype)
    if refuses:
        return Case("refused", what[1:], partial(_refused, *what))
    kinds, precision = ROUNDED.get(name, ((), None))
    if kind in kinds and (precision or dtype.startswith("float")):
        return Case("rounded", what[1:], partial(_same, *what, most=PLACES * float(np.finfo(precision or dtype).eps)))
    return Case(group, what[1:], partial(_same, *what))


def figures(*, reduced: bool) -> Iterator[Figure]:
    """One figure per promise."""
    torch.set_num_threads(1)
    every = cases()
    made = {group: Figure(promise) for group, promise in PROMISES.items()}
    for case in sample(every, 300) if reduced else every:
        made[case.group].case(case.name, case.run())
    verbs = sum(map(len, VERBS.values()))
    made["pp"].measured.append(f"{len(KINDS)} kinds of matrix × {len(DTYPES)} dtypes × {verbs} verbs")
    yield from made.values()
