"""The sparse × dense product gives the result of the dense product."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scae import threads
from scae.kernels.linear import times

DENSE = arrays(
    np.float64, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=st.sampled_from([0.0, 0.0, 0.0, 1.0, 2.0, 7.0])
)


@given(DENSE, st.integers(1, 5), st.integers(0, 99))
def test_times_is_the_dense_product(dense, width, seed):
    x, weight = sp.csr_matrix(dense), np.random.default_rng(seed).normal(size=(dense.shape[1], width))
    out = np.full((x.shape[0], width), np.nan)
    times(0, x.shape[0], x.indptr, x.indices, x.data, weight, out)
    np.testing.assert_allclose(out, dense @ weight, rtol=1e-12, atol=1e-12)


def test_threads_do_not_change_the_product():
    rng = np.random.default_rng(0)
    x = sp.random(3000, 400, 0.1, format="csr", dtype=np.float32, random_state=rng)
    weight, results = rng.normal(size=(400, 16)).astype(np.float32), []
    for n in (1, 2, 4):
        out = np.empty((3000, 16), np.float32)
        with threads.use(n):
            threads.run(times, 3000, x.indptr, x.indices, x.data, weight, out, work=x.nnz * 16)
        results.append(out.tobytes())
    assert results[0] == results[1] == results[2]
