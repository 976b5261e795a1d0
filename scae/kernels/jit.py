"""The one decorator of every kernel: no GIL, compiled code kept on disk where a disk will have it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numba


def jit(function: Callable[..., Any] | None = None, *, reorder: bool = False) -> Callable[..., Any]:
    """Compile a kernel that frees the GIL and keeps its machine code in numba's cache.

    ``reorder`` lets the compiler sum floats in vector lanes: the order is then the machine's, still the same each time.
    Where neither the package's nor the user's cache directory can be written, numba refuses to cache at all;
    the kernel is then compiled in memory, once a process. Division by zero gives inf or NaN, as in NumPy.
    """
    if function is None:
        return partial(jit, reorder=reorder)
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "nsz"} if reorder else False}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)
