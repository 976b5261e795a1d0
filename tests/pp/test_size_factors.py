"""``size_factors`` follows the definitions of its methods."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from peers import adata_of, assert_same, dense, kinds

from scae import pp
from scae.errors import ConfigError, MissingKeyError


@kinds
def test_size_factors_follow_their_definitions(kind):
    adata = adata_of(kind)
    adata.X[3] = 0  # an empty cell
    values = dense(adata.X).astype(float)
    pp.size_factors(adata)
    total = values.sum(axis=1)
    np.testing.assert_allclose(adata.obs["size_factors"], total / total[total > 0].mean())
    reference = np.exp(np.log(np.where(values > 0, values, 1)).sum(axis=0) / len(values))
    ratios = np.array([np.median((row / reference)[row > 0]) if row.any() else 0 for row in values])
    factors = pp.size_factors(adata, "median_of_ratios", inplace=False)
    np.testing.assert_allclose(factors, ratios / ratios[ratios > 0].mean())
    with pytest.raises(MissingKeyError, match="median_of_ratios"):
        pp.size_factors(adata, "median_of_ratio")


def test_an_empty_matrix_has_size_factors_of_0():
    adata = AnnData(sp.csr_matrix((5, 4), dtype="float32"))
    pp.size_factors(adata)
    assert (adata.obs["size_factors"] == 0).all()
    assert_same(adata.X, sp.csr_matrix((5, 4), dtype="float32"))


def test_a_column_of_the_user_is_not_overwritten_but_one_of_ours_is():
    adata = adata_of()
    pp.size_factors(adata)
    pp.size_factors(adata, "median_of_ratios")
    with pytest.raises(ConfigError, match=r"obs\['batch'\] already exists"):
        pp.size_factors(adata, key_added="batch")
    with pytest.raises(ConfigError, match="must not contain '/'"):
        pp.size_factors(adata, key_added="a/b")
