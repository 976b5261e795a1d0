"""CSR kernels against SciPy; validation against every fault."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scae import threads
from scae.errors import MatrixError
from scae.kernels import csr
from scae.kernels.linear import times

DENSE = arrays(
    np.float64, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=st.sampled_from([0.0, 0.0, 0.0, 1.0, 2.0, 7.0])
)
INDEX = st.sampled_from([np.int32, np.int64, np.uint32, np.uint64])


@given(DENSE, st.data())
def test_gather_is_fancy_indexing(dense, data):
    x = sp.csr_matrix(dense)
    rows = np.array(data.draw(st.lists(st.integers(0, x.shape[0] - 1), max_size=12)), np.int64)
    got = csr.gather(x.indptr.astype(np.int64), x.indices, x.data, rows)
    want = x[rows] if rows.size else sp.csr_matrix((0, x.shape[1]))
    assert all(np.array_equal(a, b) for a, b in zip(got, (want.indptr, want.indices, want.data), strict=True))


@given(DENSE)
def test_transpose_is_tocsc(dense):
    x = sp.csr_matrix(dense)
    want = x.tocsc()
    got = csr.transpose(x.indptr, x.indices, x.data, x.shape[1])
    assert all(np.array_equal(a, b) for a, b in zip(got, (want.indptr, want.indices, want.data), strict=True))


@given(DENSE, st.integers(1, 5), st.integers(0, 99))
def test_times_is_the_dense_product(dense, width, seed):
    x, weight = sp.csr_matrix(dense), np.random.default_rng(seed).normal(size=(dense.shape[1], width))
    out = np.full((x.shape[0], width), np.nan)
    times(0, x.shape[0], x.indptr, x.indices, x.data, weight, out)
    np.testing.assert_allclose(out, dense @ weight, rtol=1e-12, atol=1e-12)


@given(DENSE, INDEX)
def test_sound_arrays_pass(dense, dtype):
    x = sp.csr_matrix(dense)
    assert csr.validate(x.indptr.astype(dtype), x.indices.astype(dtype), x.data, x.shape[1])


@given(DENSE, INDEX)
def test_unsorted_or_repeated_columns_are_not_canonical(dense, dtype):
    x = sp.csr_matrix(dense)
    backwards = np.concatenate([np.zeros(0, dtype)] + [r[::-1] for r in np.split(x.indices.astype(dtype), x.indptr[1:-1])])
    canonical = bool((np.diff(x.indptr) < 2).all())
    assert csr.validate(x.indptr.astype(dtype), backwards, x.data, x.shape[1]) is canonical


@given(
    arrays(np.int64, st.integers(0, 6), elements=st.integers(-3, 9)),
    arrays(np.int64, st.integers(0, 6), elements=st.integers(-3, 9)),
    st.integers(0, 6),
    st.integers(0, 6),
    INDEX,
)
def test_validate_agrees_with_the_definition(indptr, indices, n_data, n_columns, dtype):
    """Whatever the arrays hold, validation raises exactly where a kernel would leave them."""
    if np.issubdtype(dtype, np.unsignedinteger):
        indptr, indices = np.abs(indptr), np.abs(indices)
    sound = (
        indptr.size > 0 and indptr[0] == 0 and indptr[-1] == indices.size == n_data
        and bool((np.diff(indptr) >= 0).all()) and bool(((indices >= 0) & (indices < n_columns)).all())
    )  # fmt: skip
    if sound:
        csr.validate(indptr.astype(dtype), indices.astype(dtype), np.ones(n_data), n_columns)
    else:
        with pytest.raises(MatrixError):
            csr.validate(indptr.astype(dtype), indices.astype(dtype), np.ones(n_data), n_columns)


FAULTS = {
    "no pointers": ([], [], []),
    "starts elsewhere": ([1, 2], [0, 1], [1, 1]),
    "ends early": ([0, 1], [0, 1], [1, 1]),
    "ends late": ([0, 3], [0, 1], [1, 1]),
    "falls": ([0, 2, 1, 2], [0, 1], [1, 1]),
    "falls below zero": ([0, -1, 2], [0, 1], [1, 1]),
    "runs past the data in the middle": ([0, 9, 2], [0, 1], [1, 1]),
    "column too large": ([0, 2], [0, 3], [1, 1]),
    "column negative": ([0, 2], [-1, 0], [1, 1]),
    "far out of bounds": ([0, 2], [0, 2**60], [1, 1]),
    "fault behind an unsorted row": ([0, 2, 3], [1, 0, 77], [1, 1, 1]),
    "pointer falls behind an unsorted row": ([0, 2, 1, 3], [1, 0, 2], [1, 1, 1]),
    "values missing": ([0, 2], [0, 1], [1]),
    "two-dimensional": ([[0, 1]], [0], [1]),
}


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_raises(fault, dtype):
    indptr, indices, data = (np.array(a, np.int64).astype(dtype) for a in FAULTS[fault])
    with pytest.raises(MatrixError):
        csr.validate(indptr, indices, data, 3)


def test_threads_do_not_change_bits():
    rng = np.random.default_rng(0)
    x = sp.random(3000, 400, 0.1, format="csr", dtype=np.float32, random_state=rng)
    weight, rows = rng.normal(size=(400, 16)).astype(np.float32), rng.permutation(3000)
    results = []
    for n in (1, 2, 4):
        out = np.empty((3000, 16), np.float32)
        with threads.use(n):
            gathered = csr.gather(x.indptr.astype(np.int64), x.indices, x.data, rows)
            threads.run(times, 3000, x.indptr, x.indices, x.data, weight, out, work=x.nnz * 16)
        results.append(b"".join(a.tobytes() for a in (*gathered, out)))
    assert results[0] == results[1] == results[2]
