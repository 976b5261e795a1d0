"""``log1p`` gives the results of scanpy."""

from __future__ import annotations

import numpy as np
import pytest
import scanpy as sc
from peers import adata_of, assert_same, assert_twins, dtypes, grid, kinds

from scae import pp


@kinds
@dtypes
def test_results_are_those_of_scanpy(kind, dtype):
    adata = adata_of(kind, dtype)
    for options in grid(base=[None, 2], copy=[True, False], chunked=[True, False][not dtype.startswith("f") :]):
        assert_twins(pp.log1p, sc.pp.log1p, adata, **options)
    for options in grid(base=[None, 2], copy=[True, False]):
        assert_same(pp.log1p(adata.X.copy(), **options), sc.pp.log1p(adata.X.copy(), **options))
    with pytest.raises(TypeError):
        pp.log1p(adata.X, layer="counts")


def test_integers_in_chunks_are_not_truncated():
    adata = adata_of(dtype="int64")
    expected = np.log1p(adata.X.toarray())
    pp.log1p(adata, chunked=True)
    np.testing.assert_allclose(adata.X.toarray(), expected)
