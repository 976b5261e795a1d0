"""Read and write AnnData files."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import anndata
from anndata import AnnData

from ..errors import ModelFileError
from ..io.writer import replacing

log = logging.getLogger("scae")


def read(path: str) -> AnnData:
    """Read an h5ad file or a zarr store.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelFileError
        If it is truncated or of another format.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no file {path}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about old files, about which the user can do nothing
            return anndata.read_zarr(path) if path.rstrip("/").endswith(".zarr") else anndata.read_h5ad(path)
    except Exception as fault:  # h5py, zarr and anndata each raise their own
        reason = str(fault).splitlines()[0]
        raise ModelFileError(
            f"{path} cannot be read as AnnData ({reason}). It must be a whole h5ad file or zarr store."
        ) from fault


def write(adata: AnnData, path: str) -> None:
    """Write an h5ad file; an error leaves no partial file.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {target.parent}.")
    with replacing(target) as beside:
        adata.write_h5ad(beside)
    log.info("wrote %s", path)
