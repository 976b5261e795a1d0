"""Thinning, size factors and deviances against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from peers import KINDS, adata_of, assert_same, dense
from scipy import stats

from scae import pp
from scae.errors import ConfigError, CountsError, MissingKeyError

kinds = pytest.mark.parametrize("kind", KINDS)
counts = arrays(np.int64, st.tuples(st.integers(1, 9), st.integers(2, 7)), elements=st.integers(0, 40) | st.just(5000))


@given(counts, st.sampled_from(list(KINDS)), st.floats(0.01, 0.99), st.integers(0, 2**40))
def test_parts_of_a_split_add_up(values, kind, fraction, seed):
    adata = AnnData(KINDS[kind](values.astype("float32")))
    pp.thin_counts(adata, fraction, random_state=seed)
    train, test = (dense(adata.layers[name]) for name in ("train", "test"))
    np.testing.assert_array_equal(train + test, values)
    assert min(train.min(), test.min()) >= 0
    assert adata.layers["train"].dtype == adata.X.dtype


def test_the_split_does_not_depend_on_the_format():
    found = [adata_of(kind, dtype) for kind in KINDS for dtype in ("float32", "int64")]
    for adata in found:
        pp.thin_counts(adata, 0.7, random_state=5)
        np.testing.assert_array_equal(dense(adata.layers["train"]), dense(found[0].layers["train"]))
    again = adata_of()
    pp.thin_counts(again, 0.7, random_state=6)
    assert (again.layers["train"] != found[0].layers["train"]).nnz


@pytest.mark.parametrize("n", [1, 3, 40, 3000])
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_the_split_is_binomial(n, fraction):
    adata = AnnData(np.full((200, 100), n, "float64"))
    pp.thin_counts(adata, fraction)
    train = adata.layers["train"].ravel().astype(int)
    edges = np.unique(stats.binom.ppf(np.linspace(0, 1, 12)[1:-1], n, fraction))
    found = np.bincount(np.searchsorted(edges, train), minlength=edges.size + 1)
    expected = np.diff(np.r_[0, stats.binom.cdf(edges, n, fraction), 1]) * train.size
    seen = expected > 0
    assert stats.chisquare(found[seen], expected[seen] * found.sum() / expected[seen].sum()).pvalue > 1e-4
    across = np.corrcoef(adata.layers["train"][:, :-1].ravel(), adata.layers["train"][:, 1:].ravel())[0, 1]
    assert abs(across) < 0.04  # neighbouring genes draw independently


@pytest.mark.parametrize(
    ("options", "error"),
    [({"fraction": 1.0}, ConfigError), ({"key_test": "train"}, ConfigError), ({"layer": "absent"}, MissingKeyError)],
)
def test_thinning_misuse(options, error):
    with pytest.raises(error):
        pp.thin_counts(adata_of(), **options)


@pytest.mark.parametrize("value", [0.5, -1.0, np.nan])
def test_thinning_wants_counts(value):
    adata = adata_of()
    adata.X.data[3] = value
    with pytest.raises(CountsError):
        pp.thin_counts(adata)


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
    found = pp.size_factors(adata, "median_of_ratios", inplace=False)
    np.testing.assert_allclose(found, ratios / ratios[ratios > 0].mean())
    with pytest.raises(MissingKeyError, match="median_of_ratios"):
        pp.size_factors(adata, "median_of_ratio")


def null_deviance(values: np.ndarray, family: str) -> np.ndarray:
    """The definition, entry by entry."""
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


def test_deviance_misuse_and_subset():
    adata = adata_of()
    with pytest.raises(MissingKeyError):
        pp.rank_by_deviance(adata, family="normal")
    with pytest.raises(ConfigError):
        pp.rank_by_deviance(adata, subset=True)
    best = pp.rank_by_deviance(adata, n_top_genes=9, subset=True, inplace=False).index
    pp.rank_by_deviance(adata, n_top_genes=9, subset=True)
    assert list(adata.var_names) == list(best)


def test_an_empty_matrix_has_no_deviance_and_no_depth():
    adata = AnnData(sp.csr_matrix((5, 4), dtype="float32"))
    pp.rank_by_deviance(adata)
    pp.size_factors(adata)
    assert (adata.var["deviance"] == 0).all()
    assert (adata.obs["size_factors"] == 0).all()
    assert_same(adata.X, sp.csr_matrix((5, 4), dtype="float32"))
