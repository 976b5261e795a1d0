"""Read and write AnnData files."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anndata
import h5py
from anndata import AnnData
from anndata.experimental import write_dispatched

from ..errors import ModelFileError, OutputError
from ..io import advice, hdf5, links
from ..io.writer import check_output, replacing

log = logging.getLogger("scae")
ENDINGS = (".h5ad", ".zarr")


def read(path: str, *, allow_links: bool = False) -> AnnData:
    """Read an h5ad file or a zarr store.

    Parameters
    ----------
    path
        The file.
    allow_links
        Follow links to other files, and trust what the file declares; for files of one's own.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelFileError
        If it is truncated, of another kind, links to other files, or declares far more than it holds.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no file {path}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings about old files, about which the user can do nothing
            with links.opened(path, allow_links=allow_links):
                pass
            return anndata.read_zarr(path) if Path(path).is_dir() else anndata.read_h5ad(path)
    except ModelFileError:
        raise
    except Exception as fault:  # h5py, zarr and anndata each raise their own
        raise advice.unreadable(path, fault) from fault


def is_zarr(path: str | Path) -> bool:
    """Whether a path for writing names a zarr store rather than a file."""
    return str(path).rstrip("/").endswith(".zarr")


def check_target(path: str) -> None:
    """Refuse, before any work, a file that :func:`write` could not write.

    Raises
    ------
    OutputError
        As :func:`scae.io.writer.check_output`, or if the name ends in neither ``.h5ad`` nor ``.zarr``.
    """
    if not str(path).rstrip("/").endswith(ENDINGS):
        raise OutputError(f"cannot write {path}: the name must end in .h5ad or .zarr, which says the format.")
    check_output(path, folder=is_zarr(path))


def check_model_target(path: str) -> None:
    """Refuse, before any work, a model file that could not be written, or whose name is that of data.

    Raises
    ------
    OutputError
        As :func:`scae.io.writer.check_output`, or if the name ends in ``.h5ad`` or ``.zarr``.
    """
    if str(path).rstrip("/").endswith(ENDINGS):
        raise OutputError(f"cannot write a model to {path}: names in .h5ad and .zarr are for data. Choose another.")
    check_output(path)


def write(adata: AnnData, path: str) -> None:
    """Write an h5ad file or, if the name ends in ``.zarr``, a zarr store; whole, or not at all.

    Raises
    ------
    OutputError
        As :func:`check_target`, if the disk is full, if anndata cannot write something in ``adata`` in this format, or if what
        was written is not what is read back.
    """
    check_target(path)
    adata.strings_to_categoricals()
    with replacing(path.rstrip("/"), folder=is_zarr(path)) as temporary:
        try:
            with anndata.settings.override(allow_write_nullable_strings=True):  # otherwise a file that holds some is refused
                _write(adata, temporary, path)
        except OSError:
            raise
        except Exception as fault:  # h5py, zarr and anndata each raise their own
            reason = (str(fault) or type(fault).__name__).splitlines()[0]
            raise OutputError(f"cannot write {path}: anndata cannot write what it is to hold ({reason}).") from fault
    log.info("wrote %s", path)


def _write(adata: AnnData, temporary: Path, path: str) -> None:
    if is_zarr(path):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Writing zarr v2")  # which format is the default is anndata's decision
            adata.write_zarr(temporary)
        import zarr

        _compare(adata, zarr.open_group(temporary, mode="r"), path)
    else:
        _write_h5ad(adata, temporary)
        with h5py.File(temporary) as file:
            _compare(adata, file, path)


def _write_h5ad(adata: AnnData, path: Path) -> None:
    with hdf5.writing(path) as (file, check):

        def each(func: Any, store: Any, key: str, element: Any, *, dataset_kwargs: Mapping[str, Any], **_: Any) -> None:
            check()  # a disk that is full already ends it here
            func(store, key, element, dataset_kwargs=dataset_kwargs)

        write_dispatched(file, "/", adata, each)


def _compare(adata: AnnData, root: Any, path: str) -> None:
    """Compare the names and sizes in a store with what was to be written."""
    for slot in ("obsm", "varm", "layers", "obsp", "varp", "uns"):
        lost = set(getattr(adata, slot)) - set(root[slot])
        if lost:
            raise OutputError(f"cannot write {path}: {slot} of what was written lacks {', '.join(map(repr, sorted(lost)))}.")
    sizes = tuple(root[axis][root[axis].attrs["_index"]].shape[0] for axis in ("obs", "var"))
    if sizes != adata.shape:
        raise OutputError(f"cannot write {path}: {sizes[0]} × {sizes[1]} of {adata.n_obs} × {adata.n_vars} were written.")
