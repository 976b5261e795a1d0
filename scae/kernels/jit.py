"""The one decorator of every kernel: no GIL, compiled code kept on disk where a disk will have it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a kernel that frees the GIL and keeps its machine code in numba's cache.

    Where neither the package's nor the user's cache directory can be written, numba refuses to cache at all;
    the kernel is then compiled in memory, once a process. Division by zero gives inf or NaN, as in NumPy.
    """
    try:
        return numba.njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:
        return numba.njit(nogil=True, error_model="numpy")(function)
