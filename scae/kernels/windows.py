"""Convolution of CSR rows with a stride equal to the length of the kernel, and its gradient.

The windows do not overlap. Each stored value therefore belongs to one window and is multiplied by one row of the kernel.
"""

from __future__ import annotations

from .jit import jit


@jit
def into_windows(start, stop, indptr, column, value, window, offset, kernel, out):
    """Compute the convolution, ``out[row, window · width + h] = Σ value · kernel[offset, h]``.

    Parameters
    ----------
    start, stop : int
        Range of rows.
    indptr, column, value : arrays
        CSR arrays of the input.
    window : int array, shape (columns,)
        Window of each column.
    offset : int array, shape (columns,)
        Position of each column within its window.
    kernel : array, shape (length, width)
        Convolution kernel.
    out : array, shape (rows, windows · width)
        Result.
    """
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
    """Compute the gradient of the kernel, ``out[chunk, offset, h] = Σ value · grad[row, window · width + h]``.

    The rows are divided into a fixed number of chunks with separate sums, so that the order of summation does not depend on the
    number of threads.

    Parameters
    ----------
    start, stop : int
        Range of chunks.
    indptr, column, value, window, offset : arrays
        As in :func:`into_windows`.
    grad : array, shape (rows, windows · width)
        Gradient of the output of :func:`into_windows`.
    out : array, shape (chunks, length, width)
        Result; the sum over the chunks is the gradient.
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
