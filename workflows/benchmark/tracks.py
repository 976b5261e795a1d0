"""Convolutions on windows of a genome track, at positions that no fit has seen: ``python tracks.py WINDOWS.h5ad``.

WINDOWS.h5ad has a row per window, with ``obs["start"]`` and ``obs["end"]`` in bases, a column per bin, and
``layers["fragments"]``, the reads per bin. The page docs/tracks.md is printed, and progress goes to stderr; ``--splits`` and
``--models`` choose what to do.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from sklearn.decomposition import PCA

import scae
from scae import evaluate
from scae.bottlenecks import Gaussian
from scae.corruptions import Thinning
from scae.likelihoods import NB, Poisson
from scae.networks import MLP, Conv1d, Linear

INTRO = """\
# Convolutions on a genome track

Made by `python workflows/benchmark/tracks.py track_windows.h5ad > docs/tracks.md`. The track is STAT1 ChIP-seq of GM12878 on
chromosome 22 (ENCODE 2012): windows of 120 bins of 100 bases, with 1.2 reads per bin on average. A window goes through scae as a
cell does, and a bin as a gene:

```python
adata.X = adata.layers["fragments"]  # reads, not coverage, which counts each read many times
adata.var["chromosome"], adata.var["start"] = "window", 100 * np.arange(adata.n_vars)  # the order of the bins
spec = scae.ModelSpec(
    corruption=Thinning(low=0.3, high=0.9),
    network=Conv1d(channels=(16, 32), windows=(4, 4)),
    bottleneck=Gaussian(dim=24),
    likelihood=Poisson(),  # the exposure of a window is its number of reads
)
model = scae.tl.embed(adata, spec, plan=scae.TrainPlan(held_out=0))
```

The track is cut into blocks of a million bases, and windows that cross a cut are left out. Fits see four of five blocks. In the
windows of the other blocks, half of the reads are given to the model and half are to be predicted.

- **Held-out reads:** the share of the Poisson deviance of the predicted half that is explained, beyond the window's number of
  reads × the mean shape of the training windows.
- **At peaks:** the same in the tenth of the windows whose given half departs most from the mean shape.
- **Given reads:** the same for the given half, which shows how closely it is reproduced. Close is not good: most of it is noise.
- **−ELBO:** bound on the negative log likelihood of a whole window, nats (`tl.score`). Lower is better.
- **Seconds** of one fit on one core, which other work shared.

Each value is the mean over {n} ways to choose the blocks.

What the table says:

- **Convolutions** explain about a third more of the held-out reads than a linear model with as large a latent, and save three
  nats per window. The weights for a peak are shared by all places of a window. Convolutions of a few bins are needed: a single
  one of 16 bins, as in the preset `conv`, is no better than a linear model.
- **Smoothing** by a Gaussian of four bins comes close, and at peaks it is better. If smooth reads are all you need, fit no model.
- **No norm:** with layer norm, which takes away how high a window is, convolutions are worse than a linear model. With `relu` and
  no norm, the latent collapsed. So `conv1d` has no norm and `elu` by default.
- **Likelihood:** the NB has the better bound, as reads vary more than Poisson counts do; the Poisson has the better expectation.
- **Exposure:** with one exposure for all windows (`size_factor`) and the `exp` link, .047 of the held-out reads were explained
  instead of .050 (one choice of blocks).
"""
SPLITS = (0, 1)
MEGABASE = 1_000_000
PLAN = scae.TrainPlan(held_out=0.0)
NETWORKS = {
    "linear": (Linear(), Poisson()),
    "MLP, 128": (MLP(hidden=(128,), dropout=0.1), Poisson()),
    "one convolution of 16 bins (as `conv`)": (Conv1d(channels=(16,), windows=(16,)), Poisson()),
    "convolutions of 4 and 4": (Conv1d(channels=(16, 32), windows=(4, 4)), Poisson()),
    "convolutions of 2, 2 and 2": (Conv1d(channels=(16, 32, 32), windows=(2, 2, 2)), Poisson()),
    "convolutions of 4 and 4, layer norm": (Conv1d(channels=(16, 32), windows=(4, 4), norm="layer"), Poisson()),
    "convolutions of 4 and 4, NB": (Conv1d(channels=(16, 32), windows=(4, 4)), NB()),
}


@dataclass(frozen=True)
class Task:
    """Windows to fit to, and the reads of windows elsewhere, in two halves."""

    train: AnnData
    whole: AnnData
    fold: evaluate.Split

    @property
    def shape(self) -> NDArray[np.float64]:
        """Share of the training reads in each bin."""
        reads = np.asarray(self.train.X.sum(0), float).ravel()
        return reads / reads.sum()

    def flat(self) -> NDArray[np.float64]:
        """Reads expected of windows of the mean shape."""
        return np.asarray(self.fold.train.sum(1), float).reshape(-1, 1) * self.shape


def read(path: Path) -> AnnData:
    """Windows with at least ten reads that lie within one block, and their block."""
    adata = anndata.read_h5ad(path)
    start, end = adata.obs["start"].to_numpy(), adata.obs["end"].to_numpy() - 1
    adata.X = sp.csr_matrix(adata.layers["fragments"], dtype=np.float32)
    adata.obs["block"] = start // MEGABASE
    adata.var["chromosome"], adata.var["start"] = "window", np.arange(adata.n_vars)
    return adata[(end // MEGABASE == start // MEGABASE) & (np.asarray(adata.X.sum(1)).ravel() >= 10)].copy()


def task(adata: AnnData, number: int) -> Task:
    held = (adata.obs["block"] % 5 == number).to_numpy()
    fold = evaluate.split(adata.X[held], 0.5, seed=number)
    return Task(adata[~held].copy(), adata[held][fold.cells].copy(), fold)


def measures(task: Task, expected: NDArray) -> dict[str, float]:
    """What expected reads ``(windows, bins)`` of the given half explain."""
    fold, flat = task.fold, task.flat()

    def left(counts: sp.csr_matrix, mean: NDArray, odds: float) -> NDArray[np.float64]:
        return evaluate.deviance(counts, evaluate.matrix_blocks(mean), odds)

    of_model, of_null = left(fold.test, expected, fold.odds), left(fold.test, flat, fold.odds)
    given, given_null = left(fold.train, expected, 1.0), left(fold.train, flat, 1.0)
    peaks = given_null >= np.quantile(given_null, 0.9)
    return {
        "held-out reads": evaluate.explained(of_model, of_null)[0],
        "at peaks": evaluate.explained(of_model[peaks], of_null[peaks])[0],
        "given reads": evaluate.explained(given, given_null)[0],
    }


def baselines(task: Task) -> Iterator[tuple[str, NDArray]]:
    """Expected reads of simple methods; a tenth of the mean shape is mixed in, so that no bin is impossible."""
    given, flat = task.fold.train.toarray(), task.flat()
    total = given.sum(1, keepdims=True)
    yield "mean of each bin", flat
    for sd in (2, 4, 8):
        yield (
            f"Gaussian smoothing, {sd} bins",
            0.9 * gaussian_filter1d(given.astype(float), sd, axis=1, mode="nearest") + 0.1 * flat,
        )
    scale = float(np.median(np.asarray(task.train.X.sum(1))))
    for n in (4, 24):
        x = task.train.X.toarray()
        pca = PCA(n, random_state=0).fit(np.log1p(x / x.sum(1, keepdims=True) * scale))
        back = np.expm1(pca.inverse_transform(pca.transform(np.log1p(given / total * scale)))).clip(0)
        yield f"PCA of log counts, {n}", 0.9 * back / back.sum(1, keepdims=True) * total + 0.1 * flat


def models(task: Task, names: list[str], plan: scae.TrainPlan = PLAN) -> Iterator[tuple[str, dict[str, float]]]:
    for name in names:
        network, likelihood = NETWORKS[name]
        spec = scae.ModelSpec(
            corruption=Thinning(low=0.3, high=0.9), network=network, bottleneck=Gaussian(dim=24), likelihood=likelihood
        )
        began = time.process_time()
        model = scae.tl.fit(task.train, spec, plan=plan)
        seconds = time.process_time() - began
        half = AnnData(task.fold.train, var=task.train.var)
        scae.tl.denoise(half, model)
        bound = float(scae.tl.score(task.whole, model, overwrite=True).mean())
        weights = sum(p.numel() for p in model.parameters())
        yield name, measures(task, half.layers["denoised"]) | {"−ELBO": bound, "weights": weights, "seconds": seconds}


def markdown(rows: list[dict]) -> str:
    """A line per method, with means over the splits; the best of each share and bound in bold."""
    table = pd.DataFrame(rows).groupby("method", sort=False).mean()
    shares = ("held-out reads", "at peaks", "given reads")
    shown = table.map(lambda v: "–" if pd.isna(v) else f"{v:.0f}")
    for name in shares:
        shown[name] = [f"{v:.3f}".replace("0.", ".", 1).replace("-", "−") for v in table[name]]
    shown["−ELBO"] = ["–" if pd.isna(v) else f"{v:.1f}" for v in table["−ELBO"]]
    for name, best in {"held-out reads": "max", "at peaks": "max", "−ELBO": "min"}.items():
        at = shown[name] == shown[name][getattr(table[name], f"idx{best}")()]
        shown.loc[at, name] = "**" + shown.loc[at, name] + "**"
    lines = ["| method | " + " | ".join(shown.columns) + " |", "|---" * (len(shown.columns) + 1) + "|"]
    return "\n".join(lines + [f"| {method} | " + " | ".join(shown.loc[method]) + " |" for method in shown.index])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("windows", type=Path)
    parser.add_argument("--splits", nargs="+", type=int, default=SPLITS)
    parser.add_argument("--models", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    adata, rows = read(args.windows), []
    for number in args.splits:
        here = task(adata, number)
        found = [(name, measures(here, expected)) for name, expected in baselines(here)]
        for name, values in [*found, *models(here, args.models)]:
            rows.append({"method": name} | values)
            print(number, rows[-1], file=sys.stderr)
    print(INTRO.replace("{n}", str(len(args.splits))))
    print(markdown(rows))


if __name__ == "__main__":
    main()
