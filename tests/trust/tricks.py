"""h5ad files and zarr stores that reach for other files, declare what they do not hold, or never end."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import scipy.sparse as sp

SECRET = b"root:x:0:0:the secret of another file"
Trick = Callable[[Path], Path]


def write_h5ad(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    adata = anndata.AnnData(sp.csr_matrix(rng.poisson(1.0, (60, 40)).astype(np.float32)))
    adata.obs["batch"] = np.repeat(["a", "b"], 30)
    adata.write_h5ad(folder / "in.h5ad")
    return folder / "in.h5ad"


def other(folder: Path) -> tuple[Path, Path]:
    """Another user's files: an HDF5 file and a text."""
    with h5py.File(folder / "other.h5", "w") as file:
        file["secret"] = np.frombuffer(SECRET, np.uint8)
        file["secret"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    (folder / "secret.txt").write_bytes(SECRET)
    return folder / "other.h5", folder / "secret.txt"


def _edited(change: Callable[[h5py.File, Path], object]) -> Trick:
    def trick(folder: Path) -> Path:
        path = write_h5ad(folder)
        with h5py.File(path, "a") as file:
            change(file, folder)
        return path

    return trick


MARKS = {"encoding-type": "array", "encoding-version": "0.2.0"}


def external_link(file: h5py.File, folder: Path) -> None:
    file["uns/stolen"] = h5py.ExternalLink(other(folder)[0], "/secret")


def _through_soft_link(file: h5py.File, folder: Path) -> None:
    file["aside"] = h5py.ExternalLink(other(folder)[0], "/")
    file["uns/stolen"] = h5py.SoftLink("/aside/secret")


def _external_storage(file: h5py.File, folder: Path) -> None:
    outside = [(str(other(folder)[1]), 0, len(SECRET))]
    file.create_dataset("uns/stolen", (len(SECRET),), np.uint8, external=outside).attrs.update(MARKS)


def _virtual(file: h5py.File, folder: Path) -> None:
    layout = h5py.VirtualLayout((len(SECRET),), np.uint8)
    layout[:] = h5py.VirtualSource(other(folder)[0], "secret", (len(SECRET),))
    file.create_virtual_dataset("uns/stolen", layout)
    file["uns/stolen"].attrs.update(MARKS)


def _many_rows(file: h5py.File, _: Path) -> None:
    del file["X/indptr"]
    file["X"].create_dataset("indptr", (10**12 + 1,), np.int64, chunks=(1 << 20,))
    file["X"].attrs["shape"] = [10**12, 40]


def _rows_without_pointers(file: h5py.File, _: Path) -> None:
    file["X"].attrs["shape"] = [10**12, 40]


def _large_dense(file: h5py.File, _: Path) -> None:
    del file["X"]
    file.create_dataset("X", (10**12, 1000), np.float32, chunks=(1000, 1000)).attrs.update(MARKS)


def _large_uns(file: h5py.File, _: Path) -> None:
    file.create_dataset("uns/a", (10**15,), np.float32, chunks=(1000,)).attrs.update(MARKS)


def _long_fill(file: h5py.File, _: Path) -> None:
    made = file.create_dataset("uns/a", (10**6,), h5py.string_dtype(), fillvalue="a" * 60_000, chunks=(1000,))
    made.attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})


def _contains_itself(file: h5py.File, _: Path) -> None:
    file["uns/a"] = file["uns"]


def _doubling(file: h5py.File, _: Path) -> None:
    groups = [file["uns"].create_group(f"g{i}") for i in range(40)]
    for one, two in itertools.pairwise(groups):
        one["a"] = two
        one["b"] = h5py.SoftLink(two.name)


def _deep(file: h5py.File, _: Path) -> None:
    here = file["uns"]
    for _level in range(500):
        here = here.create_group("a")


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "in.h5ad")
    return folder / "in.h5ad"


def _zarr(change: Callable[[Path, Path], object]) -> Trick:
    def trick(folder: Path) -> Path:
        anndata.read_h5ad(write_h5ad(folder)).write_zarr(folder / "in.zarr")
        change(folder / "in.zarr", folder)
        return folder / "in.zarr"

    return trick


def _zarr_link(store: Path, folder: Path) -> None:
    chunk = next(p for p in sorted((store / "X" / "data").rglob("*")) if p.is_file() and not p.name.startswith((".", "zarr")))
    chunk.unlink()
    chunk.symlink_to(other(folder)[1])


def _zarr_folder_link(store: Path, folder: Path) -> None:
    (folder / "apart").mkdir()
    (store / "uns").rename(folder / "apart" / "uns")
    (store / "uns").symlink_to(folder / "apart" / "uns")


def _zarr_pipe(store: Path, _: Path) -> None:
    os.mkfifo(store / "X" / "pipe")


def _zarr_rows(store: Path, _: Path) -> None:
    for meta in (m for m in store.rglob("*") if m.name in ("zarr.json", ".zarray", ".zmetadata")):
        text = json.loads(meta.read_text())
        where = "X/indptr" if meta.parent == store else None
        for place in (text, *(v for k, v in _consolidated(text).items() if where and k.startswith(where))):
            if "shape" in place and (where or meta.parent.name == "indptr"):
                place["shape"] = [10**12 + 1]
        meta.write_text(json.dumps(text))


def _consolidated(text: dict) -> dict:
    return text.get("metadata") or (text.get("consolidated_metadata") or {}).get("metadata") or {}


TRICKS: dict[str, Trick] = {
    "external link": _edited(external_link),
    "through a soft link": _edited(_through_soft_link),
    "external storage": _edited(_external_storage),
    "virtual": _edited(_virtual),
    "many rows": _edited(_many_rows),
    "rows without pointers": _edited(_rows_without_pointers),
    "large dense": _edited(_large_dense),
    "large uns": _edited(_large_uns),
    "long fill": _edited(_long_fill),
    "contains itself": _edited(_contains_itself),
    "doubling": _edited(_doubling),
    "deep": _edited(_deep),
    "pipe": _pipe,
    "zarr link": _zarr(_zarr_link),
    "zarr folder link": _zarr(_zarr_folder_link),
    "zarr pipe": _zarr(_zarr_pipe),
    "zarr rows": _zarr(_zarr_rows),
}

POINTERS = {
    "too few": lambda indptr: [*indptr[:-1], 3],
    "too many": lambda indptr: [*indptr[:20], *(10**6 + indptr[20:])],
    "far away": lambda indptr: [*indptr[:20], 10**9, *indptr[21:]],
    "negative": lambda indptr: [-50, *indptr[1:]],
    "late": lambda indptr: [5, *indptr[1:]],
}
