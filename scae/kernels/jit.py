"""The decorator that compiles all kernels: without the GIL, and cached on disk if possible."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numba


def jit(function: Callable[..., Any] | None = None, *, reorder: bool = False, contract: bool = False) -> Callable[..., Any]:
    """Compile a function with numba so that it releases the GIL; cache the machine code on disk.

    If neither the folder of the package nor the cache folder of the user is writable, the kernel is compiled once per process.
    Division by zero gives inf or NaN, as in NumPy.

    Parameters
    ----------
    function : callable
        Function to compile.
    reorder : bool
        Allow the compiler to reorder floating-point sums for vector instructions. The result then depends on the type of
        processor, but is the same in each run.
    contract : bool
        Allow the compiler to round a product and a sum once instead of twice. The same holds for the result.
    """
    if function is None:
        return partial(jit, reorder=reorder, contract=contract)
    asked = {"reassoc": reorder, "nsz": reorder, "contract": contract}
    flags = {flag for flag, wanted in asked.items() if wanted}
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": flags or False}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)
