"""The convolution and its gradient are those of dense products per window."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from matrices import counts

from scae.kernels.windows import into_windows, onto_kernel

LENGTH, WIDTH = 8, 3
WINDOW, OFFSET = np.divmod(np.arange(40), LENGTH)


def test_convolution_is_a_product_per_window():
    values, kernel = counts("float64"), np.random.default_rng(1).normal(size=(LENGTH, WIDTH))
    x, out = sp.csr_matrix(values), np.full((300, 5 * WIDTH), np.nan)
    into_windows(0, 300, x.indptr, x.indices, x.data, WINDOW, OFFSET, kernel, out)
    np.testing.assert_allclose(out.reshape(300, 5, WIDTH), values.reshape(300, 5, LENGTH) @ kernel, atol=1e-12)


def test_gradient_sums_over_rows_and_windows():
    values, grad = counts("float64"), np.random.default_rng(1).normal(size=(300, 5 * WIDTH))
    x, out = sp.csr_matrix(values), np.full((7, LENGTH, WIDTH), np.nan)
    onto_kernel(0, 7, x.indptr, x.indices, x.data, WINDOW, OFFSET, grad, out)
    expected = np.einsum("rwl,rwh->lh", values.reshape(300, 5, LENGTH), grad.reshape(300, 5, WIDTH))
    np.testing.assert_allclose(out.sum(0), expected, atol=1e-10)
