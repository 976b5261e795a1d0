"""Tell by its content what a file or folder is, and how to make an h5ad file of it if it is not AnnData."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import shlex
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import h5py

from ..errors import ModelFileError
from .advice import command, target_of

_HDF5 = b"\x89HDF\r\n\x1a\n"
_HEAD = 4096  # bytes that are looked at
_STORE = {"zarr.json", ".zgroup", ".zattrs", ".zmetadata"}
# first bytes of compressed files: what opens them in Python and in a shell, and how their names end
_COMPRESSED: dict[bytes, tuple[Callable[..., Any], str, str]] = {
    b"\x1f\x8b": (gzip.open, "gunzip", ".gz"),
    b"BZh": (bz2.open, "bunzip2", ".bz2"),
    b"\xfd7zXZ\x00": (lzma.open, "unxz", ".xz"),
}
_LAYOUTS = {  # kinds of HDF5 files: a group, and what it holds
    "h5mu": ("", {"mod", "obs"}),
    "anndata": ("", {"obs"}),
    "no obs": ("", {"X"}),
    "10x": ("matrix", {"barcodes", "features"}),
    "molecules": ("", {"barcode_idx", "umi"}),
    "loom": ("", {"matrix", "row_attrs", "col_attrs"}),
    "h5seurat": ("", {"assays", "meta.data"}),
}
_OF_10X_V2 = {"barcodes", "genes", "gene_names", "data", "indices", "indptr", "shape"}
_TEXT = ("mtx", "tabs", "commas")
_STARTS = {  # the first bytes of a file, decompressed
    "mtx": rb"%%MatrixMarket",
    "rds": rb"(X\n\0\0\0[\x02\x03]|A\n[23]\n)",
    "rdata": rb"RD[AX][23]\n",
    "tar": rb"(?s).{257}ustar",
    "excel": rb"(?s)PK\x03\x04.{26}(\[Content_Types\]|_rels/|xl/)",
    "zip": rb"PK\x03\x04",
    "page": rb"(?i)\s*<(!doctype|html|\?xml)",
    "pointer": rb"version https://git-lfs",
    "tabs": rb"(?=[^\0]*\Z)[^\r\n]*\t",
    "commas": rb"(?![{\[])(?=[^\0]*\Z)[^\r\n]*,",
}
_CONVERSIONS = {  # name of each kind, the program that converts it, and what it is told to run
    "10x": ("a 10x HDF5 file", "python", "import scanpy; a = scanpy.read_10x_h5({source}); a.var_names_make_unique(); {write}"),
    "10x v2": (
        "a 10x HDF5 file (version 2)",
        "python",
        "import scanpy; a = scanpy.read_10x_h5({source}, genome={part}); a.var_names_make_unique(); {write}",
    ),
    "loom": ("a loom file (to read it, install loompy)", "python", "import anndata; a = anndata.io.read_loom({source}); {write}"),
    "h5mu": ("a MuData file", "python", "import anndata, h5py; a = anndata.io.read_elem(h5py.File({source})[{part}]); {write}"),
    "h5seurat": ("an h5Seurat file", "Rscript", "SeuratDisk::Convert({source}, dest = 'h5ad')"),
    "rds": (
        "an R object (RDS; of a Seurat object, put Seurat::as.SingleCellExperiment() around readRDS())",
        "Rscript",
        "zellkonverter::writeH5AD(readRDS({source}), {target})",
    ),
    "rdata": ("an R workspace (RData)", "Rscript", "zellkonverter::writeH5AD(get(load({source})), {target})"),
    "10x folder": (
        "a folder of a matrix in Matrix Market format",
        "python",
        "import scanpy; a = scanpy.read_10x_mtx({source}, prefix={part}); {write}",
    ),
    "mtx": (
        "a matrix in Matrix Market format (without the names of cells and genes; .T because its rows are genes)",
        "python",
        "import anndata; a = anndata.io.read_mtx({source}).T; {write}",
    ),
    "commas": (
        "a table of text (add .T if its rows are genes)",
        "python",
        "import anndata; a = anndata.io.read_csv({source}); {write}",
    ),
    "tabs": (
        "a table of text (add .T if its rows are genes)",
        "python",
        r"import anndata; a = anndata.io.read_text({source}, '\t'); {write}",
    ),
}
_ADVICE = {  # name of each kind that no one line converts, and what to do
    "molecules": ("a 10x file of molecules", "Take filtered_feature_bc_matrix.h5 of the same run"),
    "hdf5": ("an HDF5 file", "It has no obs, only {part}. Read it in Python, and write it with AnnData.write_h5ad"),
    "tar": ("a tar archive", "Unpack it: tar -xf {path}"),
    "zip": ("a zip archive", "Unpack it: unzip {path}"),
    "excel": ("an Excel file", "Export its table as CSV"),
    "page": ("a web page", "The download went wrong. Get the file again"),
    "pointer": ("a pointer of Git LFS", "Get the file itself: git lfs pull"),
    "compressed hdf5": ("a compressed HDF5 file", "Decompress it: {part} < {path} > {target}"),
    "compressed": ("a compressed file", "Decompress it with {part}, and see what it holds"),
    "zarr": ("a zarr store", "It has no obs, only {part}. Name the store inside that has"),
    "multimodal": ("a MuData store", "Name one modality: {part}"),
    "spatialdata": ("a SpatialData store", "Name its table: {part}"),
    "folder": ("a folder", "It holds {part}. Name an h5ad file, or a zarr store"),
}


class _Kind(NamedTuple):
    name: str
    part: str = ""  # what of it the conversion needs to know


def kind_of(path: Path) -> _Kind:
    """What a file or folder is: the name of its kind, and what a reader needs to know of it."""
    return _of_folder(path) if path.is_dir() else _of_file(path)


def called(name: str) -> str:
    """What messages call a kind."""
    return _CONVERSIONS[name][0].partition(" (")[0]


def refuse(path: str | Path) -> None:
    """Refuse a file or folder that is known not to be AnnData; nothing that it links to is opened.

    Parameters
    ----------
    path : str or Path
        An ordinary file, or a folder.

    Raises
    ------
    ModelFileError
        If it is of another kind; the message names the kind, and the command that converts it.

    Examples
    --------
    >>> import tempfile
    >>> table = Path(tempfile.mkdtemp()) / "counts.csv"
    >>> _ = table.write_text("cell,gene1\\na,3\\n")
    >>> refuse(table)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    scae.errors.ModelFileError: ...counts.csv is a table of text (...), not AnnData. Convert it: python -c "import anndata; ...
    """
    kind = kind_of(Path(path))
    if kind.name in _CONVERSIONS:
        raise ModelFileError(f"{path} is {_CONVERSIONS[kind.name][0]}, not AnnData. Convert it: {_conversion(Path(path), kind)}")
    if kind.name in _ADVICE:
        name, advice = _ADVICE[kind.name]
        words = {"path": shlex.quote(str(path)), "target": shlex.quote(target_of(Path(path))), "part": kind.part}
        raise ModelFileError(f"{path} is {name}, not AnnData. {advice.format(**words)}")


def _conversion(path: Path, kind: _Kind) -> str:
    """The command that makes an h5ad file of a file or folder."""
    _, program, code = _CONVERSIONS[kind.name]
    target = repr(target_of(path))
    words = {"source": repr(str(path)), "part": repr(kind.part), "target": target, "write": f"a.write_h5ad({target})"}
    first = _recompression(path, kind.part) if kind.name == "10x folder" else ""
    return first + command(program, code.format(**words))


# ---- files


def _of_file(path: Path) -> _Kind:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if _is_hdf5(head):
        return _of_hdf5(path)
    for magic, (opener, program, ending) in _COMPRESSED.items():
        if head.startswith(magic):
            inner = _decompressed(path, opener)
            name = "compressed hdf5" if _is_hdf5(inner) else _start(inner) or "compressed"
            hidden = name in _TEXT and (ending == ".xz" or path.suffix != ending)  # from anndata, which goes by the name
            return _Kind("compressed" if hidden else name, program)
    return _Kind(_start(head))


def _is_hdf5(head: bytes) -> bool:
    return head.startswith(_HDF5) or head[512:520] == _HDF5  # MuData writes a line of text before it


def _decompressed(path: Path, opener: Callable[..., Any]) -> bytes:
    try:
        with opener(path, "rb") as file:
            return file.read(_HEAD)
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return b""


def _start(head: bytes) -> str:
    return next((name for name, pattern in _STARTS.items() if re.match(pattern, head)), "")


def _of_hdf5(path: Path) -> _Kind:
    try:
        with h5py.File(path, "r") as file:
            name = next((name for name, (group, holds) in _LAYOUTS.items() if holds <= _names(file, group)), "hdf5")
            if name != "hdf5":
                return _Kind(name, f"mod/{_chosen(_names(file, 'mod'))}" if name == "h5mu" else "")
            genome = next((group for group in sorted(_names(file, "")) if _names(file, group) >= _OF_10X_V2), None)
            return _Kind("hdf5", _listed(_names(file, ""))) if genome is None else _Kind("10x v2", genome)
    except (OSError, KeyError, RuntimeError, TypeError, ValueError):  # h5py's own, for damaged files
        return _Kind("")


def _names(file: h5py.File, group: str) -> set[str]:
    """What is in a file, or in a group of it; nothing if that is a link, which is not followed."""
    if not group:
        return {name for name in file if isinstance(name, str)}  # names that are not UTF-8 are bytes
    links, name = file.id.links, group.encode()
    inside = links.exists(name) and links.get_info(name).type == h5py.h5l.TYPE_HARD
    return set(file[group]) if inside and isinstance(file[group], h5py.Group) else set()


def _listed(names: Iterable[str]) -> str:
    found = sorted(names)
    return ", ".join(repr(name[:60]) for name in found[:8]) + ", …" * (len(found) > 8) or "nothing"


def _chosen(modalities: Iterable[str]) -> str:
    return min(modalities, key=lambda name: (name != "rna", name), default="rna")


# ---- folders


def _of_folder(path: Path) -> _Kind:
    names = {item.name for item in path.iterdir()}
    if names & _STORE:
        if "mod" in names:
            return _Kind("multimodal", shlex.quote(str(path / "mod" / _chosen(_inside(path / "mod")))))
        tables = [place for place in ("tables", "table") if place in names]
        if tables and "obs" not in names:
            return _Kind("spatialdata", shlex.quote(str(path / tables[0] / "".join(_inside(path / tables[0])[:1]))))
        return _Kind("anndata") if names & {"obs", "X"} else _Kind("zarr", _listed(names - _STORE))
    matrices = sorted(name for name in names if re.search(r"matrix\.mtx(\.gz)?$", name))
    if matrices:
        return _Kind("10x folder", matrices[0].partition("matrix.mtx")[0])
    return _Kind("folder", _listed(names))


def _inside(path: Path) -> list[str]:
    return sorted(item.name for item in path.iterdir() if item.is_dir()) if path.is_dir() else []


def _recompression(path: Path, prefix: str) -> str:
    """What to run first where files are compressed that scanpy expects plain, or the reverse."""
    old = any((path / f"{prefix}genes.tsv{end}").exists() for end in ("", ".gz"))
    names = [f"{prefix}{name}" for name in ("matrix.mtx", "barcodes.tsv", "genes.tsv" if old else "features.tsv")]
    program, have, want = ("gunzip -k", ".gz", "") if old else ("gzip -k", "", ".gz")
    wrong = [f"{path / name}{have}" for name in names if not Path(f"{path / name}{want}").exists()]
    there = [shlex.quote(name) for name in wrong if Path(name).exists()]
    return f"{program} {' '.join(there)} && " if there else ""
