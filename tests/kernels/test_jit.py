"""Kernels are compiled so that they divide like NumPy, even if no cache can be written."""

from __future__ import annotations

import numba
import numpy as np

from scae.kernels.jit import jit


def test_division_by_zero_is_that_of_numpy():
    @jit
    def divide(a, b):
        return a / b

    assert divide(1.0, 0.0) == np.inf
    assert np.isnan(divide(0.0, 0.0))


def test_without_a_cache_folder_the_kernel_is_compiled_in_memory(monkeypatch):
    compile_function = numba.njit

    def refuse_cache(*args, **options):
        if options.pop("cache", False):
            raise RuntimeError("cannot cache function")
        return compile_function(*args, **options)

    monkeypatch.setattr(numba, "njit", refuse_cache)

    @jit(reorder=True)
    def double(x):
        return 2 * x

    assert double(4) == 8
