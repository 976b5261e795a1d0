"""Training speed of scvi-tools and scae on scVI's architecture, in cells per second, alternating in one process.

usage: train_speed.py [cells=18000] [genes=2000] [share stored=0.13] [rounds=5]; needs scvi-tools (pip install 'scae[bench]').
Each run is five epochs and includes the set-up.
"""

from __future__ import annotations

import logging
import sys
import time
import warnings
from dataclasses import replace

import anndata as ad
import numpy as np
import scipy.sparse as sp
import scvi
import torch

import scae
from scae.likelihoods import NB
from scae.presets import Preset

warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
scvi.settings.verbosity = 40
EPOCHS = 5


def counts(cells: int, genes: int, stored: float) -> ad.AnnData:
    """Gamma-Poisson counts; ``stored`` is the approximate share of nonzero entries."""
    rng = np.random.default_rng(0)
    rate = rng.gamma(0.3, 1.0, genes)
    rate *= np.log(1 / (1 - stored)) / rate.mean() * 1.3  # 1.3: genes of unequal abundance have fewer nonzeros
    x = rng.poisson(rng.gamma(4.0, 0.25, (cells, 1)) * rate).astype(np.float32)
    return ad.AnnData(sp.csr_matrix(x))


def scvi_run(adata: ad.AnnData) -> float:
    scvi.model.SCVI.setup_anndata(adata)
    model = scvi.model.SCVI(adata, n_hidden=128, n_latent=10, gene_likelihood="nb")
    began = time.perf_counter()
    model.train(
        max_epochs=EPOCHS, train_size=1.0, batch_size=128, accelerator="cpu", enable_progress_bar=False, logger=False,
        enable_checkpointing=False,
    )  # fmt: skip
    return time.perf_counter() - began


def scae_run(adata: ad.AnnData) -> float:
    base = scae.presets.find("scvi")
    preset = Preset(replace(base.spec, likelihood=NB()), replace(base.plan, epochs=EPOCHS))
    began = time.perf_counter()
    with scae.threads.use(torch.get_num_threads()):  # as many threads as scvi-tools uses
        scae.tl.fit(adata, preset, device="cpu")
    return time.perf_counter() - began


def main() -> None:
    given = dict(enumerate(sys.argv[1:]))
    cells, genes, rounds = int(given.get(0, 18_000)), int(given.get(1, 2_000)), int(given.get(3, 5))
    adata = counts(cells, genes, float(given.get(2, 0.13)))
    print(f"{cells} x {genes}, {adata.X.nnz / cells / genes:.3f} stored")
    seconds: dict[str, list[float]] = {"scvi-tools": [], "scae": []}
    for _ in range(rounds + 1):
        seconds["scvi-tools"].append(scvi_run(adata.copy()))
        seconds["scae"].append(scae_run(adata.copy()))
    rates = {who: cells * EPOCHS / np.array(times[1:]) for who, times in seconds.items()}  # the first round compiles kernels
    for who, rate in rates.items():
        print(f"{who:<11} {np.median(rate):8.0f} cells/s  (from {rate.min():.0f} to {rate.max():.0f})")
    print(f"ratio of medians {np.median(rates['scae']) / np.median(rates['scvi-tools']):.2f}")


main()
