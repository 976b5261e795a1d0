"""A convolution of CSR rows whose stride is its kernel: each stored value meets one row of the kernel and one window."""

from __future__ import annotations

from .jit import jit


@jit
def into_windows(start, stop, indptr, column, value, window, offset, kernel, out):
    """``out[row, window · width + h] = Σ value · kernel[offset, h]`` over the stored values of rows ``start`` to ``stop``."""
    width = kernel.shape[1]
    for row in range(start, stop):
        out[row, :] = 0.0
        for k in range(indptr[row], indptr[row + 1]):
            v, base = value[k], window[column[k]] * width
            into, of = out[row, base : base + width], kernel[offset[column[k]]]
            for h in range(width):
                into[h] += v * of[h]


@jit
def onto_kernel(start, stop, indptr, column, value, window, offset, grad, out):
    """The gradient for the kernel: ``out[chunk, offset, h] = Σ value · grad[row, window · width + h]``.

    ``out`` is cut by rows into a fixed number of chunks, so that the order of the sums does not depend on the threads.
    """
    chunks, _, width = out.shape
    rows = indptr.size - 1
    for chunk in range(start, stop):
        out[chunk, :, :] = 0.0
        for row in range(rows * chunk // chunks, rows * (chunk + 1) // chunks):
            for k in range(indptr[row], indptr[row + 1]):
                v, base = value[k], window[column[k]] * width
                into, of = out[chunk, offset[column[k]]], grad[row, base : base + width]
                for h in range(width):
                    into[h] += v * of[h]
