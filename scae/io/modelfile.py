"""Read and write model files.

A model file is a safetensors file with the arrays of the model, a JSON description in the header, and a SHA-256 checksum of both.
Reading it never runs code, because nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..errors import ModelFileError
from .writer import replacing


def digest(arrays: dict[str, NDArray], about: str) -> str:
    """Return the SHA-256 checksum of named arrays and a text; the order of the arrays does not matter.

    Parameters
    ----------
    arrays : dict of str to array
        The arrays; their names, dtypes, shapes and values enter the checksum.
    about : str
        The text.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    h = hashlib.sha256(about.encode())
    for name in sorted(arrays):
        a = np.ascontiguousarray(arrays[name])
        h.update(f"{name}{a.dtype}{a.shape}".encode())
        h.update(a.data)
    return h.hexdigest()


def write_model(path: Path, arrays: dict[str, NDArray], about: dict[str, Any]) -> None:
    """Write arrays and a description of them to a model file, atomically.

    Parameters
    ----------
    path : Path
        File to write; an existing file is replaced.
    arrays : dict of str to array
        The arrays.
    about : dict
        Description; must be valid JSON, without NaN and infinity.

    Raises
    ------
    OutputError
        If the folder does not exist, something other than a file is there, or the disk is full.
    ValueError or TypeError
        If the description is not valid JSON.
    """
    text = json.dumps(about, allow_nan=False, ensure_ascii=False)
    with replacing(path) as temporary:
        save_file(arrays, temporary, metadata={"about": text, "sha256": digest(arrays, text)})


def read_model(path: Path) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """Read the arrays and the description from a model file.

    Parameters
    ----------
    path : Path
        Model file.

    Returns
    -------
    dict of str to array
        The arrays.
    dict
        The description.

    Raises
    ------
    ModelFileError
        If the file is missing, truncated, altered, or not a model file of scae.
    """
    if not path.is_file():
        raise ModelFileError(f"there is no model file {path}. Check the path.")
    try:
        with safe_open(path, "numpy") as f:
            meta = f.metadata() or {}
            arrays = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelFileError(f"{path} is truncated or not a scae model ({error}). Save the model again.") from error
    if "about" not in meta or "sha256" not in meta:
        raise ModelFileError(f"{path} is a safetensors file, but not one that scae wrote. Name a scae model file.")
    if digest(arrays, meta["about"]) != meta["sha256"]:
        raise ModelFileError(f"{path} was altered after it was saved: its SHA-256 does not match. Use an unaltered copy.")
    return arrays, json.loads(meta["about"])
