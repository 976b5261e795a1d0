"""Read and write model files.

A model file is a safetensors file with the arrays of the model, a JSON description in the header, and a SHA-256 checksum of both.
Reading it never runs code, because nothing is unpickled, and takes memory in proportion to the size of the file, because whatever
the header declares is compared with that size first.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..errors import ModelFileError
from .writer import replacing

_HEADER = 1 << 24  # bytes; a header may have this much and twice as much as all weights (every gene has a name and weights)
_TENSORS = 10_000
_DTYPES = {"BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "F32", "F64"}  # those that NumPy has
_ASK = "Ask for the file again, from someone you trust."


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
        # through Python, which names a full disk; the library's own writer does not
        temporary.write_bytes(save(arrays, metadata={"about": text, "sha256": digest(arrays, text)}))


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
    try:
        _check_header(path)
        with safe_open(path, "numpy") as f:
            meta = f.metadata() or {}
            arrays = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError, ValueError, TypeError, OverflowError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"{path} is truncated or not a scae model ({readable(error)}). Save the model again.") from error
    if "about" not in meta or "sha256" not in meta:
        raise ModelFileError(f"{path} is a safetensors file, but not one that scae wrote. Name a scae model file.")
    if digest(arrays, meta["about"]) != meta["sha256"]:
        raise ModelFileError(f"{path} was altered after it was saved: its SHA-256 does not match. Use an unaltered copy.")
    return arrays, _description(path, meta["about"])


def _check_header(path: Path) -> None:
    """Refuse what is not an ordinary file, and a header that is out of proportion to the file, before any of it is parsed."""
    try:
        ordinary, there = path.is_file(), path.exists()
    except OSError as error:  # a name that is too long, a folder that may not be entered
        raise ModelFileError(f"there is no model file {path} ({error.strerror}). Check the path.") from error
    if not ordinary:
        kind = (
            f"{path} is {'a folder' if path.is_dir() else 'not an ordinary file'}" if there else f"there is no model file {path}"
        )
        raise ModelFileError(f"{kind}. Check the path.")
    with path.open("rb") as file:
        size, length = path.stat().st_size, int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise ModelFileError(f"{path} is truncated or not a scae model ({size} bytes). Save the model again.")
        allowed = _HEADER + 2 * (size - 8 - length)
        if length > allowed:
            raise ModelFileError(f"{path} has a header of {length} bytes; allowed for its weights: {allowed}. {_ASK}")
        tensors = strict_json(file.read(length).decode())
    if not isinstance(tensors, dict):
        raise ValueError("its header is not a JSON object")
    tensors.pop("__metadata__", None)
    if len(tensors) > _TENSORS:
        raise ModelFileError(f"{path} has {len(tensors)} tensors; allowed: {_TENSORS}. {_ASK}")
    for name, tensor in tensors.items():
        dtype = tensor.get("dtype") if isinstance(tensor, dict) else None
        if not isinstance(dtype, str) or dtype not in _DTYPES:
            raise ValueError(f"tensor {name!r} has dtype {dtype!r}; allowed: {', '.join(sorted(_DTYPES))}")


def _description(path: Path, text: str) -> dict[str, Any]:
    try:
        about = strict_json(text)
    except ValueError as error:
        raise ModelFileError(f"{path} has a description that cannot be read: {readable(error)}. {_ASK}") from error
    if not isinstance(about, dict):
        raise ModelFileError(f"{path} has a description that is {type(about).__name__}; allowed: a JSON object. {_ASK}")
    return about


def readable(error: object, length: int = 300) -> str:
    """The message of an error about a stranger's file: one line, not too long, without control characters.

    Examples
    --------
    >>> readable(ValueError("no\\x1b[2J\\nsuch thing"))
    'no?[2J such thing'
    """
    text = str(error)[: 4 * length] or type(error).__name__
    text = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return text if len(text) <= length else f"{text[: length - 1]}…"


def strict_json(text: str) -> Any:
    """Read JSON that another program may have written, and refuse what JSON leaves open.

    Parameters
    ----------
    text : str
        The JSON.

    Returns
    -------
    object
        What it says.

    Raises
    ------
    ValueError
        If it is not JSON, is nested too deeply, repeats a key, or has numbers that are not finite, whole numbers of more than 64
        bits, or half a character (a lone surrogate).

    Examples
    --------
    >>> strict_json('{"a": 1, "a": 2}')
    Traceback (most recent call last):
        ...
    ValueError: the key 'a' is there twice
    """
    hooks: dict[str, Any] = {"parse_float": _finite, "parse_int": _whole, "parse_constant": _finite}
    try:
        value = json.loads(text, object_pairs_hook=_once, **hooks)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if re.search(r"\\u[dD][89a-fA-F]", text):  # the only way to half a character; a backslash in a name looks alike
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        raise ValueError(f"the key {next(k for k, _ in pairs if k in seen or seen.add(k))!r:.60} is there twice")  # type: ignore[func-returns-value]
    return found


def _finite(text: str) -> float:
    value = float(text.replace("Infinity", "inf"))
    if not math.isfinite(value):
        raise ValueError(f"{text:.60} is not a finite number")
    return value


def _whole(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= int(text) < 2**64:
        raise ValueError(f"{text:.60} is a whole number of more than 64 bits")
    return int(text)
