"""Random damage to h5ad files and zarr stores, and links out of them at random places."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import scipy.sparse as sp
import zarr
from test_hostile import MARKS, SECRET, damaged, mistaken, other

from scae.cli.files import write

Damage = Callable[[Path, np.random.Generator], None]
LAYOUTS = ("csr", "csc", "dense")
_ODD = (-1, 0, 1, 2**31, 2**62, -(2**63), 0.5, np.nan, 1e308, "", "x", "csc_matrix", [], [0, 0], [10**12, 40], [-1, 40], [61, 41])


def write_good(folder: Path, ending: str, layout: str) -> Path:
    """A small file without damage, ``in.h5ad`` or ``in.zarr``, in a new folder."""
    folder.mkdir()
    x = np.random.default_rng(0).poisson(1.0, (60, 40)).astype(np.float32)
    adata = anndata.AnnData({"csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": np.asarray}[layout](x))
    adata.obs["batch"] = np.repeat(["a", "b"], 30)
    adata.obsm["X_pca"] = np.arange(120.0).reshape(60, 2)
    adata.uns["about"] = {"name": "in", "sizes": np.arange(3)}
    write(adata, str(folder / f"in{ending}"))
    return folder / f"in{ending}"


# ---- to the bytes of a file, or of one file of a store


def _file(path: Path, rng: np.random.Generator) -> Path:
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return files[int(rng.integers(len(files)))]


def _bytes(path: Path, rng: np.random.Generator) -> None:
    file = _file(path, rng)
    file.write_bytes(damaged(file.read_bytes(), rng))


def _zeros(path: Path, rng: np.random.Generator) -> None:
    file = _file(path, rng)
    data = bytearray(file.read_bytes())
    at, size = int(rng.integers(len(data))), int(rng.integers(1, 512))
    data[at : at + size] = bytes(len(data[at : at + size]))
    file.write_bytes(data)


def _truncated(path: Path, rng: np.random.Generator) -> None:
    file = _file(path, rng)
    file.write_bytes(file.read_bytes()[: int(rng.integers(file.stat().st_size))])


# ---- to what the bytes mean


def _values(path: Path, rng: np.random.Generator) -> None:
    """Other values in X: odd numbers, or the right ones in another order."""
    root = zarr.open_group(path) if path.is_dir() else h5py.File(path, "a")
    x = root["X"]
    array = x if hasattr(x, "shape") else x[str(rng.choice(["data", "indices", "indptr"]))]
    values = array[...]
    if rng.random() < 0.2:
        rng.shuffle(values)
    else:
        odd = [-1, -(2**31), 2**31 - 1, 39, 40, 60, 10**6, 0.5, np.nan, np.inf, 1e30]
        for _ in range(int(rng.integers(1, 4))):
            with np.errstate(invalid="ignore"):
                values.flat[int(rng.integers(values.size))] = np.asarray(odd[int(rng.integers(len(odd)))]).astype(values.dtype)
    array[...] = values
    if path.is_file():
        root.close()


def _places(file: h5py.File) -> list[str]:
    places: list[str] = []
    file.visit(places.append)
    return places


def _place(file: h5py.File, rng: np.random.Generator) -> str:
    return str(rng.choice(_places(file)))


def _attribute(file: h5py.File, _: Path, rng: np.random.Generator) -> None:
    here = file[str(rng.choice([p for p in _places(file) if file[p].attrs]))]
    name = str(rng.choice(sorted(here.attrs)))
    odd = _ODD[int(rng.integers(len(_ODD)))]
    del here.attrs[name]
    if rng.random() < 0.8:
        here.attrs[name] = odd


def _replaced(file: h5py.File, _: Path, rng: np.random.Generator) -> None:
    """An array of another shape or kind in place of an object, with its attributes."""
    place = _place(file, rng)
    marks = dict(file[place].attrs)
    odd = [
        np.zeros((0,)),
        np.zeros((3, 3)),
        np.arange(61),
        np.full(60, b"x"),
        np.float32(1),
        np.zeros((60, 40, 2)),
        h5py.Empty("f"),
    ]
    del file[place]
    file[place] = odd[int(rng.integers(len(odd)))]
    file[place].attrs.update(marks)


def _removed(file: h5py.File, _: Path, rng: np.random.Generator) -> None:
    del file[_place(file, rng)]


def _alias(file: h5py.File, _: Path, rng: np.random.Generator) -> None:
    """One object in the place of another."""
    one, two = _place(file, rng), _place(file, rng)
    found = file[two]
    del file[one]
    file[one] = found


def _external(file: h5py.File, folder: Path, rng: np.random.Generator) -> None:
    place = _place(file, rng)
    del file[place]
    file[place] = h5py.ExternalLink(other(folder)[0], "/secret")


def _outside(file: h5py.File, folder: Path, rng: np.random.Generator) -> None:
    """An array whose values are in another file, in one of two ways."""
    place, (data, text) = _place(file, rng), other(folder)
    marks = dict(file[place].attrs) or MARKS
    del file[place]
    if rng.random() < 0.5:
        made = file.create_dataset(place, (len(SECRET),), np.uint8, external=[(str(text), 0, len(SECRET))])
    else:
        layout = h5py.VirtualLayout((len(SECRET),), np.uint8)
        layout[:] = h5py.VirtualSource(data, "secret", (len(SECRET),))
        made = file.create_virtual_dataset(place, layout)
    made.attrs.update(marks)


def _in_hdf5(change: Callable[[h5py.File, Path, np.random.Generator], None]) -> Damage:
    def damage(path: Path, rng: np.random.Generator) -> None:
        with h5py.File(path, "a") as file:
            change(file, path.parent, rng)

    return damage


def _metadata(path: Path, rng: np.random.Generator) -> None:
    """Odd values in one of the JSON files of a store."""
    files = sorted(p for p in path.rglob("*") if p.name in ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"))
    files = [p for p in files if json.loads(p.read_text())]
    file = files[int(rng.integers(len(files)))]
    text = mistaken(json.loads(file.read_text()), rng)
    file.write_text(text if isinstance(text, str) else json.dumps(text))


def _lost(path: Path, rng: np.random.Generator) -> None:
    _file(path, rng).unlink()


def _linked(path: Path, rng: np.random.Generator) -> None:
    """A link to another file in place of a file of the store, or to another folder in place of a folder."""
    file = _file(path, rng)
    if rng.random() < 0.3 and file.parent != path:
        shutil.move(file.parent, path.parent / "apart")
        file.parent.symlink_to(path.parent / "apart")
        return
    file.unlink()
    file.symlink_to(other(path.parent)[int(rng.integers(2))])


KINDS: dict[str, dict[str, Damage]] = {
    ".h5ad": {
        "bytes": _bytes,
        "zeros": _zeros,
        "truncated": _truncated,
        "values": _values,
        "attribute": _in_hdf5(_attribute),
        "replaced": _in_hdf5(_replaced),
        "removed": _in_hdf5(_removed),
        "alias": _in_hdf5(_alias),
        "external link": _in_hdf5(_external),
        "values outside": _in_hdf5(_outside),
    },
    ".zarr": {
        "bytes": _bytes,
        "zeros": _zeros,
        "truncated": _truncated,
        "values": _values,
        "metadata": _metadata,
        "lost": _lost,
        "link": _linked,
    },
}
OUT = ("external link", "values outside", "link")  # must be refused, whatever they stand for
