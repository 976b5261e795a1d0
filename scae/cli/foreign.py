"""Read counts from files of other kinds than AnnData: 10x HDF5, folders in Matrix Market format, loom, tables of text."""

from __future__ import annotations

import gzip
import logging
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData

from ..errors import ModelFileError
from ..io import advice, kinds, links
from ..io.heaps import refuse_endless

log = logging.getLogger("scae")
_HOUSEKEEPING = {"ACTB", "GAPDH", "MALAT1", "B2M", "EEF1A1", "RPLP0", "TPT1", "FTL"}  # in nearly every data set, also of mouse
_CHUNK = 1 << 24  # values of a loom file that are read at a time


def read(path: Path) -> AnnData | None:
    """Read a file or folder of one of these kinds, cells × genes; None for any other.

    Raises
    ------
    ModelFileError
        If it is damaged, links to other files, or is no table of numbers.
    """
    if path.is_file():
        refuse_endless(path)
    elif not path.is_dir():
        return None
    name, part = kinds.kind_of(path)
    if name not in _READERS:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of scanpy and anndata, about names that are not unique yet
            adata = _READERS[name](path, part)
    except ModelFileError:
        raise
    except Exception as fault:  # h5py, pandas and scanpy each raise their own
        raise advice.unreadable(path, fault) from fault
    adata.X = sp.csr_matrix(adata.X)
    adata.var_names_make_unique()
    log.info("%s is %s: %d cells × %d genes", path, kinds.called(name), *adata.shape)
    return adata


def _10x(path: Path, genome: str) -> AnnData:
    import scanpy as sc

    with h5py.File(path, "r") as file:
        links.refuse_links(file)
    return sc.read_10x_h5(path, genome=genome or None)


def _folder(path: Path, prefix: str) -> AnnData:
    """The three files, made such as scanpy expects them: named without a prefix, and compressed only with features.tsv."""
    import scanpy as sc

    old = any((path / f"{prefix}genes.tsv{end}").exists() for end in ("", ".gz"))
    names = ("matrix.mtx", "barcodes.tsv", "genes.tsv" if old else "features.tsv")
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            plain, packed = path / f"{prefix}{name}", path / f"{prefix}{name}.gz"
            if not plain.exists() and not packed.exists():
                raise ModelFileError(f"{path} has no {prefix}{name}, plain or .gz. A folder needs {', '.join(names)}.")
            with (
                plain.open("rb") if plain.exists() else gzip.open(packed, "rb") as source,
                Path(folder, name).open("wb") if old else gzip.open(Path(folder, f"{name}.gz"), "wb", 1) as target,
            ):
                shutil.copyfileobj(source, target)
        return sc.read_10x_mtx(folder)


def _loom(path: Path, _: str) -> AnnData:
    with h5py.File(path, "r") as file:
        links.refuse_links(file)
        x = file["matrix"]
        step = max(1, _CHUNK // max(x.shape[0], 1))
        blocks = [sp.csr_matrix(x[:, start : start + step].T) for start in range(0, x.shape[1], step)]
        cells, genes = (_names(file[f"{axis}_attrs"], keys) for axis, keys in _LOOM.items())
        return AnnData(sp.vstack(blocks, format="csr", dtype=np.float32), pd.DataFrame(index=cells), pd.DataFrame(index=genes))


_LOOM = {"col": ("CellID", "obs_names"), "row": ("Gene", "var_names", "Accession")}  # attributes with names


def _names(group: h5py.Group, keys: Iterable[str]) -> list[str]:
    key = next((key for key in keys if key in group), None)
    if key is None:
        raise ModelFileError(f"{group.file.filename} has no {' or '.join(keys)} in {group.name}, which would name them.")
    return [value.decode() if isinstance(value, bytes) else str(value) for value in group[key][:]]


def _table(separator: str) -> Callable[[Path, str], AnnData]:
    def read_table(path: Path, _: str) -> AnnData:
        table = pd.read_csv(path, sep=separator, index_col=0)
        words = [str(name) for name, column in table.items() if column.dtype.kind not in "iufb"]
        if words:
            raise ModelFileError(
                f"{path} is no table of counts: column {words[0]!r} holds text. It needs one row per cell and one column per "
                "gene (or the reverse), and names in the first row and column."
            )
        genes_are_rows = _of_genes(table.index) > _of_genes(table.columns)
        log.info("its rows are taken for %s, its columns for %s", *(("genes", "cells") if genes_are_rows else ("cells", "genes")))
        x = (table.T if genes_are_rows else table).astype(np.float32)
        return AnnData(
            sp.csr_matrix(x.to_numpy()), pd.DataFrame(index=x.index.astype(str)), pd.DataFrame(index=x.columns.astype(str))
        )

    return read_table


def _of_genes(names: pd.Index) -> int:
    """How many names are surely those of genes."""
    return sum(str(name).upper() in _HOUSEKEEPING or bool(re.match(r"(?i)(ENS[A-Z]*G\d{6}|MT-)", str(name))) for name in names)


_READERS: dict[str, Callable[[Path, str], AnnData]] = {
    "10x": _10x,
    "10x v2": _10x,
    "10x folder": _folder,
    "loom": _loom,
    "commas": _table(","),
    "tabs": _table("\t"),
}
