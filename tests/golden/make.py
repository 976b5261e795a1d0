"""Write the golden files of the current formats: ``python tests/golden/make.py``, once whenever a format number is raised.

Files of earlier formats stay as they are: they show that every later scae still reads them. Their names end in the number of the
format, and a file that is there already is not written again.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from anndata import AnnData

import scae
from scae.bottlenecks import Gaussian
from scae.cli import main
from scae.model import FORMAT, ModelSpec
from scae.networks import MLP
from scae.written import FORMAT as RECORD

HERE = Path(__file__).parent
SPEC = ModelSpec(network=MLP(hidden=(16,)), bottleneck=Gaussian(dim=4))
PLAN = scae.TrainPlan(epochs=5, min_steps=100, batch_size=32)


def cells() -> AnnData:
    """Sixty real cells, their forty genes with the most counts, and a made-up batch; nothing else."""
    whole = scae.datasets.pbmc68k_reduced()[:60]
    genes = np.sort(np.argsort(-np.asarray(whole.X.sum(0)).ravel())[:40])
    adata = AnnData(whole.X[:, genes], obs=whole.obs[[]].copy(), var=whole.var[[]].iloc[genes].copy())
    adata.obs["batch"] = np.where(np.arange(60) % 2, "a", "b")
    return adata


def write() -> None:
    model, embedded = HERE / f"model-format{FORMAT}.scae", HERE / f"embedded-format{RECORD}.h5ad"
    if not model.exists():
        scae.tl.fit(cells(), SPEC, plan=PLAN, batch_key="batch", device="cpu").save(model)
    if not embedded.exists():
        with tempfile.TemporaryDirectory() as folder:
            counts = Path(folder) / "counts.h5ad"
            cells().write_h5ad(counts)
            main(["embed", str(counts), str(embedded), "--model", str(model), "--device", "cpu", "--threads", "1", "--with-sd"])


if __name__ == "__main__":
    write()
