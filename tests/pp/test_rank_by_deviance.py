"""``rank_by_deviance`` follows the definition of the deviance."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from peers import adata_of, assert_same, dense, kinds

from scae import pp
from scae.errors import ConfigError, MissingKeyError


def null_deviance(values: np.ndarray, family: str) -> np.ndarray:
    """Compute the deviance of each gene from its definition, entry by entry."""
    n, share = values.sum(axis=1, keepdims=True), values.sum(axis=0) / values.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        one = np.where(values > 0, values * np.log(values / (n * share)), 0)
        rest = n - values
        other = np.where(rest > 0, rest * np.log(rest / (n * (1 - share))), 0) if family == "binomial" else n * share - values
    return 2 * (one + other).sum(axis=0)


@kinds
@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_deviance_follows_its_definition(kind, family):
    adata = adata_of(kind)
    values = dense(adata.X).astype(float)
    pp.rank_by_deviance(adata, family=family, n_top_genes=7)
    np.testing.assert_allclose(adata.var["deviance"], null_deviance(values[values.sum(axis=1) > 0], family), atol=1e-8)
    assert (adata.var["deviance_rank"].to_numpy()[np.argsort(-adata.var["deviance"], kind="stable")] == np.arange(80)).all()
    assert adata.var["highly_variable"].sum() == 7
    table = pp.rank_by_deviance(adata, family=family, batch_key="batch", inplace=False)
    parts = [null_deviance(values[adata.obs["batch"] == b], family) for b in "xyz"]
    np.testing.assert_allclose(table["deviance"], np.nansum(parts, axis=0), atol=1e-8)


def test_wrong_options_raise_and_subset_keeps_the_marked_genes():
    adata = adata_of()
    with pytest.raises(MissingKeyError):
        pp.rank_by_deviance(adata, family="normal")
    with pytest.raises(ConfigError):
        pp.rank_by_deviance(adata, subset=True)
    best = pp.rank_by_deviance(adata, n_top_genes=9, subset=True, inplace=False).index
    pp.rank_by_deviance(adata, n_top_genes=9, subset=True)
    assert list(adata.var_names) == list(best)


def test_an_empty_matrix_has_deviances_of_0():
    adata = AnnData(sp.csr_matrix((5, 4), dtype="float32"))
    pp.rank_by_deviance(adata)
    assert (adata.var["deviance"] == 0).all()
    assert_same(adata.X, sp.csr_matrix((5, 4), dtype="float32"))
