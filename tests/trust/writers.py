"""The verbs that write, each with an old file, a new one, and a way to tell which is there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import anndata
import numpy as np
import scipy.sparse as sp
import torch
from helpers import data_of

import scae
from scae.checkpoint import Checkpoints
from scae.cli import files
from scae.io.modelfile import digest
from scae.model import Autoencoder, ModelSpec


class Writer(NamedTuple):
    """A verb that writes to ``path``; ``read`` loads all of what is there and says how it was written."""

    name: str
    write: Callable[[Path, str], None]  # path, and "old" or "new"
    read: Callable[[Path], str]


def data(which: str) -> anndata.AnnData:
    """Counts that are one in old files and two in new ones, too many for one block of a file."""
    rng = np.random.default_rng(0)
    x = sp.random(600, 500, 0.3, "csr", np.float32, rng, data_rvs=np.ones)
    adata = anndata.AnnData(x * (1 if which == "old" else 2))
    adata.obs["batch"] = np.where(np.arange(600) % 2, "a", "b")
    adata.uns["which"] = which
    return adata


def _write_data(path: Path, which: str) -> None:
    files.write(data(which), str(path))


def _read_data(path: Path) -> str:
    adata = files.read(str(path))
    counts = adata.layers.get("counts", adata.X)
    assert (counts.data == (1 if adata.uns["which"] == "old" else 2)).all()
    return str(adata.uns["which"])


def _preprocess(path: Path, which: str) -> None:
    source = path.parent.with_name(f"{path.parent.name}-{which}.h5ad")  # not in the folder that is looked at
    if not source.exists():
        data(which).write_h5ad(source)
    scae.pp.preprocess_file(source, path, min_genes=1, min_cells=1, n_top_genes=50, percent_top=(), flavor="seurat_v3")


def _model(which: str) -> Autoencoder:
    return Autoencoder(ModelSpec(), data_of(500), torch.Generator().manual_seed(["old", "new"].index(which)))


def _digest(model: Autoencoder) -> str:
    return digest({name: value.numpy() for name, value in model.state_dict().items()}, "")


def _save(path: Path, which: str) -> None:
    _model(which).save(path)


def _load(path: Path) -> str:
    found = _digest(scae.load(path))
    return next(which for which in ("old", "new") if _digest(_model(which)) == found)


def _checkpoint(path: Path, which: str) -> None:
    checkpoints = Checkpoints(path)
    checkpoints.save(1 if which == "old" else 2, ({"x": np.full(300_000, 1.0)}, {"fit": {}, "which": which}))


def _resume(path: Path) -> str:
    state = Checkpoints(path).load({})
    assert state is not None
    return str(state[1]["which"])


WRITERS = {
    "a.h5ad": Writer("write an h5ad file", _write_data, _read_data),
    "a.zarr": Writer("write a zarr store", _write_data, _read_data),
    "p.h5ad": Writer("preprocess a file", _preprocess, _read_data),
    "a.scae": Writer("save a model", _save, _load),
    "steps": Writer("save a checkpoint", _checkpoint, _resume),
}


def strangers(path: Path) -> list[str]:
    """What lies beside a target, or among checkpoints, and is no result."""
    beside = [name for name in os.listdir(path.parent) if name not in (path.name, "filler")]
    inside = [name for name in os.listdir(path) if not name.endswith(".checkpoint")] if path.name == "steps" else []
    return sorted(beside + inside)


def found(path: Path) -> str:
    """``"old"`` or ``"new"``, or what is wrong with what is there."""
    try:
        return WRITERS[path.name].read(path)
    except Exception as fault:  # whatever it is, the file is not whole
        return f"unreadable: {type(fault).__name__}: {fault}"


def write(path: Path, which: str) -> None:
    """Write with the verb that belongs to the name."""
    WRITERS[path.name].write(path, which)


def begin(path: Path) -> None:
    """Leave the old file there and nothing else."""
    for file in path.glob("*.checkpoint"):
        file.unlink()
    write(path, "old")
