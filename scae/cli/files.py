"""Reading and writing AnnData files from the shell."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import anndata
from anndata import AnnData

from ..errors import ModelFileError
from ..io.atomic import replacing

log = logging.getLogger("scae")


def read(path: str) -> AnnData:
    """An h5ad or zarr file.

    Raises
    ------
    ModelFileError
        If it is missing, truncated or of another kind.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no file {path}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on old files, which the reader can do nothing about
            return anndata.read_zarr(path) if path.rstrip("/").endswith(".zarr") else anndata.read_h5ad(path)
    except Exception as fault:  # h5py, zarr and anndata each raise their own
        reason = str(fault).splitlines()[0]
        raise ModelFileError(f"{path} cannot be read as AnnData ({reason}). Is it a whole h5ad file?") from fault


def write(adata: AnnData, path: str) -> None:
    """Write an h5ad file, whole or not at all."""
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {target.parent}.")
    with replacing(target) as beside:
        adata.write_h5ad(beside)
    log.info("wrote %s", path)
