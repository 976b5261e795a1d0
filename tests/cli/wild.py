"""The same 120 cells as files of many years and programs, written by hand. Each maker takes the path and the cells."""

from __future__ import annotations

import bz2
import gzip
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.io
import scipy.sparse as sp
import zarr
from anndata import AnnData

TEXT = h5py.string_dtype()


def cells() -> AnnData:
    """Counts with a batch and a number per cell, and a mask and a name per gene."""
    rng = np.random.default_rng(0)
    x = rng.poisson(rng.gamma(0.5, 1, 60) * rng.gamma(4, 0.25, (120, 1))).astype(np.float32)
    obs = pd.DataFrame({"age": rng.normal(50, 10, 120), "good": rng.random(120) < 0.5}, index=[f"cell{i}" for i in range(120)])
    obs["batch"] = pd.Categorical(np.array(["x", "y", "z"])[rng.integers(0, 3, 120)])
    genes = range(60)
    var = pd.DataFrame({"mt": rng.random(60) < 0.2, "symbol": [f"S{i}" for i in genes]}, index=[f"gene{i}" for i in genes])
    adata = AnnData(sp.csr_matrix(x), obs=obs, var=var, uns={"title": "cells"})
    adata.obsm["X_pca"], adata.varm["PCs"] = rng.normal(size=(120, 3)), rng.normal(size=(60, 3))
    return adata


def logged(adata: AnnData) -> None:
    """Move the counts to ``raw``, as Seurat's converters and old tutorials do."""
    adata.raw = adata
    adata.X = (adata.X * 0.37).log1p()


# ---- what anndata reads


def today(path: Path, adata: AnnData) -> None:
    adata.write_h5ad(path)


def nullable(path: Path, adata: AnnData) -> None:
    """Strings, integers and booleans of pandas, with missing values."""
    adata.obs["good"], adata.var["mt"] = adata.obs["good"].astype("boolean"), adata.var["mt"].astype("boolean")
    adata.obs["plate"], adata.obs["note"] = pd.array([1, None] * 60, "Int64"), pd.array(["a", None] * 60, "string")
    adata.obs["batch"], adata.var["symbol"] = adata.obs["batch"].astype("string"), adata.var["symbol"].astype("string")
    with anndata.settings.override(allow_write_nullable_strings=True):
        adata.write_h5ad(path, convert_strings_to_categoricals=False)


def by_columns(path: Path, adata: AnnData) -> None:
    adata.X = adata.X.tocsc()
    adata.write_h5ad(path)


def of_r(path: Path, adata: AnnData) -> None:
    """Dense doubles, and text of fixed length."""
    adata.X = np.asfortranarray(adata.X.toarray().astype(np.float64))
    adata.write_h5ad(path)
    with h5py.File(path, "a") as file:
        for name, values in (("obs/batch", adata.obs["batch"]), ("obs/_index", adata.obs_names), ("var/_index", adata.var_names)):
            del file[name]
            file[name] = np.array(values, "S")


def of_julia(path: Path, adata: AnnData) -> None:
    """Attributes of fixed length."""
    adata.write_h5ad(path)

    def change(_: str, item: Any) -> None:
        for key, value in list(item.attrs.items()):
            if isinstance(value, str):
                item.attrs[key] = np.bytes_(value)

    with h5py.File(path, "a") as file:
        change("/", file)
        file.visititems(change)


def of_2019(path: Path, adata: AnnData) -> None:
    """As anndata 0.6: tables are compound arrays, categories lie in uns, sparse matrices have the attributes of h5sparse."""
    with h5py.File(path, "w") as file:
        _h5sparse(file.create_group("X"), adata.X)
        for axis in ("obs", "var"):
            file[axis] = _compound(getattr(adata, axis))
        if adata.raw is not None:
            _h5sparse(file.create_group("raw.X"), adata.raw.X)
            file["raw.var"] = _compound(adata.raw.var)
        file["uns/batch_categories"] = np.array(adata.obs["batch"].cat.categories, object).astype(TEXT)
        file["uns/title"] = "cells"
        _h5sparse(file.create_group("uns/neighbors/connectivities"), sp.eye(adata.n_obs, format="csr"))
        for slot in ("obsm", "varm"):
            ((name, values),) = getattr(adata, slot).items()
            file[slot] = np.array([(row,) for row in values], [(name, "f8", values.shape[1:])])


def _h5sparse(group: Any, x: sp.csr_matrix) -> None:
    group.attrs.update({"h5sparse_format": x.format, "h5sparse_shape": list(x.shape)})
    _parts(group, x)


def _parts(group: Any, x: sp.csr_matrix) -> None:
    for part in ("data", "indices", "indptr"):
        group[part] = getattr(x, part)


def _compound(table: pd.DataFrame) -> np.ndarray:
    values = {"index": table.index.to_numpy()}
    for name, column in table.items():
        values[name] = (column.cat.codes if isinstance(column.dtype, pd.CategoricalDtype) else column).to_numpy()
    out = np.empty(len(table), [(name, TEXT if v.dtype == object else v.dtype) for name, v in values.items()])
    for name, v in values.items():
        out[name] = v
    return out


def of_2020(path: Path, adata: AnnData) -> None:
    """As anndata 0.7, and SeuratDisk."""
    with h5py.File(path, "w") as file:
        _of_2020(file, adata)


def _of_2020(file: Any, adata: AnnData) -> None:
    """Categories are in a group beside the codes, which name them in an attribute."""
    for name, x in {"X": adata.X, "raw/X": getattr(adata.raw, "X", None)}.items():
        if x is not None:
            group = file.create_group(name)
            group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": list(x.shape)})
            _parts(group, x)
    _table_2020(file.create_group("obs"), adata.obs)
    _table_2020(file.create_group("var"), adata.var)
    if adata.raw is not None:
        _table_2020(file.create_group("raw/var"), adata.raw.var)
    for slot in ("obsm", "varm", "uns"):
        file.create_group(slot)
    file["obsm"]["X_pca"], file["varm"]["PCs"] = adata.obsm["X_pca"], adata.varm["PCs"]
    _text(file["uns"], "title", ["cells"])


def _table_2020(group: Any, table: pd.DataFrame) -> None:
    order = {"_index": "index", "column-order": list(table)}
    group.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.1.0"} | order)
    _text(group, "index", table.index)
    for name, column in table.items():
        if isinstance(column.dtype, pd.CategoricalDtype):
            _text(group, f"__categories/{name}", column.cat.categories)
            group[name], levels = column.cat.codes.to_numpy(), group[f"__categories/{name}"]
            group[name].attrs["categories"] = levels.ref if isinstance(group, h5py.Group) else f"__categories/{name}"
            levels.attrs["ordered"] = False
        elif column.dtype == object:
            _text(group, name, column)
        else:
            group[name] = column.to_numpy()


def _text(group: Any, name: str, values: Any) -> None:
    group[name] = np.array(values, object).astype(TEXT) if isinstance(group, h5py.Group) else np.array(values, str)


def zarr_2(path: Path, adata: AnnData) -> None:
    with anndata.settings.override(zarr_write_format=2):
        adata.write_zarr(path)


def zarr_3(path: Path, adata: AnnData) -> None:
    with anndata.settings.override(zarr_write_format=3):
        adata.write_zarr(path)


def zarr_by_columns(path: Path, adata: AnnData) -> None:
    """Dense doubles in Fortran order."""
    zarr_2(path, adata)
    root = zarr.open_group(path, mode="a", zarr_format=2)
    del root["X"]
    x = root.create_array("X", shape=adata.shape, dtype="f8", chunks=(50, 7), order="F")
    x[:] = adata.X.toarray()
    x.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    zarr.consolidate_metadata(str(path))


def zarr_of_2020(path: Path, adata: AnnData) -> None:
    _of_2020(zarr.open_group(path, mode="w", zarr_format=2), adata)


def zarr_of_2019(path: Path, adata: AnnData) -> None:
    """The tables are written by hand, because zarr writes no such arrays any more."""
    root = zarr.open_group(path, mode="w", zarr_format=2)
    _h5sparse(root.create_group("X"), adata.X)
    for axis in ("obs", "var"):
        table = _compound(getattr(adata, axis))
        table = table.astype([(name, "<U10" if kind[0].kind == "O" else kind[0]) for name, kind in table.dtype.fields.items()])
        about = {"zarr_format": 2, "shape": table.shape, "chunks": table.shape, "dtype": table.dtype.descr, "order": "C"}
        (path / axis).mkdir()
        (path / axis / ".zarray").write_text(json.dumps(about | dict.fromkeys(("compressor", "fill_value", "filters"))))
        (path / axis / "0").write_bytes(table.tobytes())
    uns = root.create_group("uns")
    _text(uns, "batch_categories", adata.obs["batch"].cat.categories)
    _text(uns, "title", ["cells"])
    for slot in ("obsm", "varm"):
        ((name, values),) = getattr(adata, slot).items()
        root.create_group(slot)[name] = values


READABLE = [
    *((maker, "a.h5ad") for maker in (nullable, by_columns, of_r, of_julia, of_2019, of_2020)),
    *((maker, name) for maker in (today, of_2020) for name in ("a.h5", "a", "it's a $.h5ad")),
    *((maker, "a.zarr") for maker in (zarr_2, zarr_3, zarr_by_columns, zarr_of_2019, zarr_of_2020)),
    *((maker, "folder") for maker in (zarr_2, zarr_3)),
]
WITH_RAW = (today, of_julia, by_columns, of_2019, of_2020, zarr_2, zarr_3, zarr_of_2020)


# ---- what it does not read


def h5_10x(path: Path, adata: AnnData) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        _parts(group, adata.X.astype(np.int32))
        group["shape"], group["barcodes"] = adata.shape[::-1], np.array(adata.obs_names, "S")
        for name, values in (("id", adata.var_names), ("name", adata.var_names), ("feature_type", ["Gene Expression"] * 60)):
            group[f"features/{name}"] = np.array(values, "S")


def h5_10x_v2(path: Path, adata: AnnData, genome: str = "hg'19") -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group(genome)
        _parts(group, adata.X.astype(np.int32))
        group["shape"], group["barcodes"] = adata.shape[::-1], np.array(adata.obs_names, "S")
        group["genes"] = group["gene_names"] = np.array(adata.var_names, "S")


def molecules(path: Path, _: AnnData) -> None:
    with h5py.File(path, "w") as file:
        file["barcode_idx"], file["umi"] = np.arange(9), np.arange(9)


def loom(path: Path, adata: AnnData) -> None:
    with h5py.File(path, "w") as file:
        file["matrix"] = adata.X.toarray().T
        file["row_attrs/Gene"], file["col_attrs/CellID"] = np.array(adata.var_names, "S"), np.array(adata.obs_names, "S")


def h5seurat(path: Path, _: AnnData) -> None:
    with h5py.File(path, "w") as file:
        file.create_group("assays/RNA")
        file.create_group("meta.data")


def h5mu(path: Path, adata: AnnData) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        file.attrs["encoding-type"] = "MuData"
        anndata.io.write_elem(file, "mod/prot", adata)
        anndata.io.write_elem(file, "mod/rna", adata)
        anndata.io.write_elem(file, "obs", adata.obs)


def hdf5(path: Path, adata: AnnData) -> None:
    with h5py.File(path, "w") as file:
        file["matrix"] = adata.X.toarray()
        file["features"] = h5py.ExternalLink("/nowhere.h5", "/")


def folder_10x(path: Path, adata: AnnData, *, prefix: str = "", ending: str = ".gz", features: str = "features") -> None:
    path.mkdir()
    genes = "".join(f"{name}\t{name}\tGene Expression\n" for name in adata.var_names)
    scipy.io.mmwrite(path / "m.mtx", adata.X.T.astype(np.int32))
    barcodes = "".join(f"{name}\n" for name in adata.obs_names)
    files = {"matrix.mtx": (path / "m.mtx").read_text(), f"{features}.tsv": genes, "barcodes.tsv": barcodes}
    (path / "m.mtx").unlink()
    for name, text in files.items():
        data = text.encode()
        (path / f"{prefix}{name}{ending}").write_bytes(gzip.compress(data) if ending else data)


def folder_v2(path: Path, adata: AnnData) -> None:
    folder_10x(path, adata, ending="", features="genes")


def folder_geo(path: Path, adata: AnnData) -> None:
    """As in GEO: a name before each file's own, and genes.tsv compressed."""
    folder_10x(path, adata, prefix="GSM1 ", features="genes")


def folder_star(path: Path, adata: AnnData) -> None:
    folder_10x(path, adata, ending="")


def matrix_market(path: Path, adata: AnnData) -> None:
    scipy.io.mmwrite(path, adata.X.T.astype(np.int32))


def csv(path: Path, adata: AnnData) -> None:
    adata.to_df().to_csv(path)


def tsv(path: Path, adata: AnnData) -> None:
    adata.to_df().to_csv(path, sep="\t")


def _holding(data: bytes, opener: Any = open) -> Any:
    def make(path: Path, _: AnnData) -> None:
        with opener(path, "wb") as file:
            file.write(data)

    return make


def gz_h5ad(path: Path, adata: AnnData) -> None:
    adata.write_h5ad(path)
    path.write_bytes(gzip.compress(path.read_bytes()))


def tar(path: Path, adata: AnnData) -> None:
    csv(path.with_name("in.csv"), adata)
    with tarfile.open(path, "w:gz") as archive:
        archive.add(path.with_name("in.csv"), "in.csv")


def archive(name: str) -> Any:
    def make(path: Path, _: AnnData) -> None:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr(name, "")

    return make


def zarr_of_mudata(path: Path, adata: AnnData) -> None:
    root = zarr.open_group(path, mode="w")
    anndata.io.write_elem(root, "mod/rna", adata)
    anndata.io.write_elem(root, "obs", adata.obs)


def spatialdata(path: Path, adata: AnnData) -> None:
    anndata.io.write_elem(zarr.open_group(path, mode="w"), "tables/spots", adata)


def other_zarr(path: Path, _: AnnData) -> None:
    zarr.open_group(path, mode="w").create_group("images")


def other_folder(path: Path, _: AnnData) -> None:
    path.mkdir()


_RDS = b"X\n\0\0\0\3\0\4\3\2"
CONVERTED = [  # maker, name of the file, what the message calls it; the command in the message gives the same counts
    (h5_10x, "a.h5", "a 10x HDF5 file, not"),
    (h5_10x, "misnamed.h5ad", "a 10x HDF5 file, not"),
    (h5_10x, "it's $HOME `x`.h5", "a 10x HDF5 file, not"),
    (h5_10x_v2, "a.h5", "a 10x HDF5 file (version 2)"),
    (h5mu, "a.h5mu", "a MuData file"),
    *((maker, "a folder", "a folder of a matrix") for maker in (folder_10x, folder_v2, folder_geo, folder_star)),
    (matrix_market, "a.mtx", "a matrix in Matrix Market format"),
    (csv, "a.csv", "a table of text"),
    (csv, "a.csv.gz", "a table of text"),
    (tsv, "a.txt", "a table of text"),
    (gz_h5ad, "a.h5ad.gz", "a compressed HDF5 file"),
    (gz_h5ad, "a.h5ad", "a compressed HDF5 file"),
]
READ_DIRECTLY = [  # of these, the command line reads the counts as they are
    *(
        (maker, name)
        for maker, name, _ in CONVERTED
        if maker in (h5_10x, h5_10x_v2, folder_10x, folder_v2, folder_geo, folder_star)
    ),
    *((maker, name) for maker, name, _ in CONVERTED if maker in (csv, tsv)),
    (loom, "a.loom"),
]
NAMED = [  # the same, and the command or advice
    (h5seurat, "a.h5seurat", "an h5Seurat file", "Rscript -e \"SeuratDisk::Convert('a.h5seurat', dest = 'h5ad')\""),
    (_holding(_RDS), "a.rds", "an R object", "Rscript -e \"zellkonverter::writeH5AD(readRDS('a.rds'), 'a.h5ad')\""),
    (_holding(_RDS, gzip.open), "a.h5ad", "an R object", "readRDS('a.h5ad'), 'a-converted.h5ad')\""),
    (_holding(_RDS, bz2.open), "a.rds", "an R object", "readRDS('a.rds')"),
    (_holding(b"RDX3\n" + _RDS, gzip.open), "a.RData", "an R workspace", "get(load('a.RData')), 'a.h5ad')\""),
    (molecules, "molecule_info.h5", "a 10x file of molecules", "filtered_feature_bc_matrix.h5"),
    (hdf5, "a.h5", "an HDF5 file", "It has no obs, only 'features', 'matrix'."),
    (tar, "a.tar.gz", "a tar archive", "tar -xf a.tar.gz"),
    (archive("a.zarr/.zgroup"), "a b.zip", "a zip archive", "unzip 'a b.zip'"),
    (archive("[Content_Types].xml"), "a.xlsx", "an Excel file", "as CSV"),
    (_holding(b"<!DOCTYPE html><html>"), "a.h5ad", "a web page", "Get the file again"),
    (_holding(b"version https://git-lfs.github.com/spec/v1\n"), "a.h5ad", "a pointer of Git LFS", "git lfs pull"),
    (_holding(b"\0\1\2", gzip.open), "a.gz", "a compressed file", "Decompress it with gunzip"),
    (zarr_of_mudata, "a.zarr", "a MuData store", "Name one modality: a.zarr/mod/rna"),
    (spatialdata, "a.zarr", "a SpatialData store", "Name its table: a.zarr/tables/spots"),
    (other_zarr, "a.zarr", "a zarr store", "It has no obs, only 'images'."),
    (other_folder, "a.h5ad", "a folder", "It holds nothing. Name an h5ad file"),
]
