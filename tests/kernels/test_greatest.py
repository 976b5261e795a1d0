"""The two greatest values of each column are those of a sort."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matrices import counts, rows_of, unsorted

from scae import threads
from scae.kernels.greatest import is_lone_spike, merged, two_greatest
from scae.kernels.rows import Rows, Uncanonical, over_blocks

shapes = st.tuples(st.integers(2, 30), st.integers(1, 6))
small = st.sampled_from([0, 0, 0, 1, 2, 3, 9, 10, 11, 40, 41])


def by_sorting(x: np.ndarray) -> np.ndarray:
    return np.partition(x.astype(float), len(x) - 2, axis=0)[:-3:-1].T


@given(hnp.arrays(np.float32, shapes, elements=small), st.integers(0, 30))
def test_they_are_those_of_a_sort_and_so_are_those_of_parts(x, cut):
    top = by_sorting(x)
    for m in (rows_of(x), Rows.full(x)):
        np.testing.assert_array_equal(two_greatest(m), top)
    np.testing.assert_array_equal(merged(two_greatest(rows_of(x[:cut])), two_greatest(rows_of(x[cut:]))), top)
    np.testing.assert_array_equal(is_lone_spike(top), (top[:, 0] >= 10) & (top[:, 0] / 4 > top[:, 1]))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("n", [1, 2])
def test_any_dtype_and_number_of_threads(dtype, n):
    x = counts(dtype, n=3000)
    with threads.use(n):
        np.testing.assert_array_equal(two_greatest(rows_of(x)), by_sorting(x))


def test_columns_that_do_not_ascend_are_sorted_first():
    x = counts()
    twice = rows_of(x)
    twice = Rows(2 * twice.indptr, np.repeat(twice.indices, 2), np.repeat(twice.data, 2), twice.n_columns)
    for m in (unsorted(x), twice):
        with pytest.raises(Uncanonical):
            two_greatest(m)
    np.testing.assert_array_equal(two_greatest(twice.canonical()), by_sorting(2 * x))
    np.testing.assert_array_equal(next(over_blocks(x, lambda block, _: two_greatest(block))), by_sorting(x))
