"""Small batches, real counts and quick plans that the tests share."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from anndata import AnnData
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

import scae
from scae import parts
from scae.fields import fields
from scae.keys import DataKeys, DataSpec
from scae.likelihoods import Parameters
from scae.plan import TrainPlan
from scae.records import Cells, Counts
from scae.source import CountMatrix

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
QUICK = TrainPlan(epochs=1, min_steps=12, max_steps=12, batch_size=64)
# source of an expression: the peak memory of its process in bytes; ru_maxrss may be that of the process it was forked from
PEAK = 'int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) * 1024'


def run_python(code: str, *, timeout: float = 120.0, **env: str) -> str:
    """The standard output of a fresh interpreter; it must end well."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout, check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])} | env,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@lru_cache(maxsize=1)
def _cells() -> AnnData:
    adata = scae.datasets.pbmc68k_reduced()[:200].copy()
    rng = np.random.default_rng(0)
    adata.obs["batch"] = rng.choice(["east", "west"], adata.n_obs)
    adata.obs["donor"] = rng.choice(["a", "b", "c"], adata.n_obs)
    adata.obs["age"] = rng.normal(50, 10, adata.n_obs)
    return adata


def real_counts() -> AnnData:
    """A copy of 200 real cells with covariates."""
    return _cells().copy()


def counts_like(rng: np.random.Generator, cells: int, genes: int, *, mean: float = 0.7) -> NDArray[np.float32]:
    """Overdispersed counts, mostly zero, some large; the first gene is in every cell."""
    x = rng.poisson(rng.gamma(0.3, mean / 0.3, (cells, genes))).astype(np.float32)
    x[:, 0] += 1
    return x


def matrix_of(dense: ArrayLike, *, dtype: type = np.float32, levels: int = 0) -> CountMatrix:
    """Dense counts as a :class:`CountMatrix`; with ``levels``, that many batches and one continuous covariate."""
    x = sp.csr_matrix(np.asarray(dense, dtype))
    n, library = x.shape[0], np.asarray(x.sum(1), dtype).reshape(-1, 1)
    batch = np.arange(n) % levels if levels else None
    continuous = np.linspace(-1, 1, n, dtype=dtype)[:, None] if levels else np.zeros((n, 0), dtype)
    arrays = (x.indptr.astype(np.int64), x.indices.astype(np.int64), x.data)
    return CountMatrix(*arrays, x.shape[1], library, np.zeros((n, 0), np.int64), continuous, batch)


def cells_of(dense: ArrayLike, *, dtype: type = np.float32, levels: int = 0) -> tuple[Counts, Cells]:
    """Dense counts as one block of :class:`Counts` and :class:`Cells`."""
    source = matrix_of(dense, dtype=dtype, levels=levels)
    return source.take(np.arange(len(source)))


def counts_of(dense: ArrayLike, *, dtype: type = np.float32) -> Counts:
    """Dense counts as :class:`Counts`."""
    return cells_of(dense, dtype=dtype)[0]


def data_of(genes: int, *, levels: int = 0) -> DataSpec:
    """What a model of :func:`matrix_of`'s cells is fitted to."""
    covariates = {
        "keys": DataKeys(batch_key="batch", continuous_covariates=("age",)),
        "levels": (tuple("abcdef"[:levels]),),
        "moments": ((50.0, 10.0),),
    }
    return DataSpec(tuple(f"g{i}" for i in range(genes)), median_library=20.0, **(covariates if levels else {}))


def parameters_of(likelihood: scae.likelihoods.Likelihood, counts: Counts, *, spread: float = 1.0, seed: int = 0) -> Parameters:
    """Random raw parameters for some cells at their own totals, leaves that take gradients, in the dtype of the counts."""
    rng = torch.Generator().manual_seed(seed)
    shapes = {"cell×gene": (len(counts), counts.n_genes), "gene": (counts.n_genes,), "shared": (1,), "cell": (len(counts), 1)}
    shapes["gene×batch"] = shapes["cell×gene"]  # as a likelihood gets it: for each cell the row of its batch
    raw = {
        name: (spread * torch.randn(shapes[axis], generator=rng, dtype=counts.value.dtype)).requires_grad_()
        for name, axis in likelihood.parameters().items()
    }
    return Parameters(raw, counts.totals(), 20.0)


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Equal shape, dtype and bits (NaN where NaN)."""
    return a.dtype == b.dtype and a.shape == b.shape and a.detach().numpy().tobytes() == b.detach().numpy().tobytes()


def same_weights(a: scae.Autoencoder, b: scae.Autoencoder) -> bool:
    """Every entry of two state dicts has the same bits."""
    one, two = a.state_dict(), b.state_dict()
    return one.keys() == two.keys() and all(same_bits(one[k].cpu(), two[k].cpu()) for k in one)


def variants(kind: str) -> list:
    """Every part of a kind, once for each combination of its options that are choices or truth values."""
    made = []
    for name in parts.names(kind):
        cls = parts.find(kind, name)
        free = {f.name: f.choices or (False, True) for f in fields(cls).values() if f.choices or f.hint is bool}
        made += [cls(**dict(zip(free, values, strict=True))) for values in itertools.product(*free.values())]
    return made


def small(kind: str, name: str) -> object:
    """A part with a latent of three and eight hidden units, where it has such options."""
    cls = parts.find(kind, name)
    return cls(**{k: v for k, v in {"dim": 3, "hidden": (8,)}.items() if k in fields(cls)})


def covering(product: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Few of the combinations of a product, in which every pair of values of two places is met."""

    def pairs(names: tuple[str, ...]) -> set[tuple]:
        return set(itertools.combinations(enumerate(names), 2))

    left, chosen = set().union(*map(pairs, product)), []
    while left:
        chosen.append(max(product, key=lambda names: len(pairs(names) & left)))
        left -= pairs(chosen[-1])
    return chosen
