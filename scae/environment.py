"""Where a result was made: versions, processor, device and threads. The same seed gives the same bits only where these agree."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import llvmlite.binding
import numpy as np
import torch
from numpy.typing import NDArray

from . import threads
from .version import __version__

_LIBRARIES = ("torch", "numpy", "numba", "scipy", "anndata")
_COUNTS = ("threads", "torch_threads")


def environment(device: torch.device | str = "cpu") -> dict[str, str | int]:
    """What a result may depend on beside data, model, plan and seed, as a flat dict that goes to JSON.

    Parameters
    ----------
    device : torch.device or str
        Where the model is.

    Returns
    -------
    dict
        Versions of ``scae``, ``python`` and the libraries; ``system`` and ``machine``; ``cpu``, as numba's compiler names it, and
        ``cpu_features``, the instructions that torch uses; ``device``; ``threads`` of scae's kernels, which do not change a
        result, and ``torch_threads``, which may.

    Examples
    --------
    >>> here = environment()
    >>> here["scae"] == scae.__version__, here["device"]
    (True, 'cpu')
    """
    device = torch.device(device)
    name = f"{device.type} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)
    return _installed() | {"device": name, "threads": threads.current(), "torch_threads": threads.asked() or 1}


@cache
def _installed() -> dict[str, str | int]:
    return {
        "scae": __version__,
        "python": platform.python_version(),
        **{library: _version(library) for library in _LIBRARIES},
        "system": platform.system(),
        "machine": platform.machine(),
        "cpu": llvmlite.binding.get_host_cpu_name(),
        "cpu_features": torch.backends.cpu.get_cpu_capability(),
    }


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:  # installed in a way that leaves no record
        return "unknown"


def is_environment(value: Any) -> bool:
    """Whether a value read from a file is such a dict: short names, with short texts or, for threads, numbers from 1.

    Examples
    --------
    >>> is_environment({"scae": "0.1.0", "threads": 2}), is_environment({"threads": "two"})
    (True, False)
    """
    return isinstance(value, dict) and len(value) <= 50 and all(map(_is_entry, value.items()))


def _is_entry(entry: tuple[Any, Any]) -> bool:
    name, value = entry
    if name in _COUNTS:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 1
    return isinstance(name, str) and len(name) <= 50 and isinstance(value, str) and len(value) <= 200


def fingerprint(values: NDArray) -> str:
    """SHA-256 of an array's bytes, in C order and little-endian: 64 hexadecimal digits.

    Examples
    --------
    >>> fingerprint(np.zeros((2, 3), np.float32))[:8]
    '9d908ecf'
    """
    plain = np.ascontiguousarray(values)
    return hashlib.sha256(plain.astype(plain.dtype.newbyteorder("<"), copy=False).data).hexdigest()
