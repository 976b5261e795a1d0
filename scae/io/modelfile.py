"""The model file: safetensors with JSON in its header and a SHA-256 over both; nothing is ever unpickled."""

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
from .atomic import replacing


def digest(arrays: dict[str, NDArray], about: str) -> str:
    """SHA-256 of named arrays and a text, whatever order they come in."""
    h = hashlib.sha256(about.encode())
    for name in sorted(arrays):
        a = np.ascontiguousarray(arrays[name])
        h.update(f"{name}{a.dtype}{a.shape}".encode())
        h.update(a.data)
    return h.hexdigest()


def write_model(path: Path, arrays: dict[str, NDArray], about: dict[str, Any]) -> None:
    """Write arrays and what they are about to one file, atomically."""
    text = json.dumps(about, allow_nan=False, ensure_ascii=False)
    if not path.parent.is_dir():
        raise ModelFileError(f"cannot write {path}: there is no folder {path.parent}. Make it first.")
    with replacing(path) as beside:
        save_file(arrays, beside, metadata={"about": text, "sha256": digest(arrays, text)})


def read_model(path: Path) -> tuple[dict[str, NDArray], dict[str, Any]]:
    """Arrays and what they are about.

    Raises
    ------
    ModelFileError
        If the file is missing, truncated, altered or not a scae model.
    """
    if not path.is_file():
        raise ModelFileError(f"there is no model file {path}.")
    try:
        with safe_open(path, "numpy") as f:
            meta = f.metadata() or {}
            arrays = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError) as fault:
        raise ModelFileError(f"{path} is truncated or not a scae model ({fault}). Save the model again.") from fault
    if "about" not in meta or "sha256" not in meta:
        raise ModelFileError(f"{path} is a safetensors file, but not one that scae wrote.")
    if digest(arrays, meta["about"]) != meta["sha256"]:
        raise ModelFileError(f"{path} was altered after it was saved: its SHA-256 does not match. Use an unaltered copy.")
    return arrays, json.loads(meta["about"])
