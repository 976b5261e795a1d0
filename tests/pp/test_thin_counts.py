"""``thin_counts`` splits each count binomially."""

from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from peers import KINDS, adata_of, dense, read, stored
from scipy import stats

from scae import pp
from scae.errors import ConfigError, CountsError, MissingKeyError

counts = arrays(np.int64, st.tuples(st.integers(1, 9), st.integers(2, 7)), elements=st.integers(0, 40) | st.just(5000))


@given(counts, st.sampled_from(list(KINDS)), st.floats(0.01, 0.99), st.integers(0, 2**40))
def test_the_two_parts_add_up_to_the_counts(values, kind, fraction, seed):
    adata = AnnData(KINDS[kind](values.astype("float32")))
    pp.thin_counts(adata, fraction, random_state=seed)
    train, test = (dense(adata.layers[name]) for name in ("train", "test"))
    np.testing.assert_array_equal(train + test, values)
    assert min(train.min(), test.min()) >= 0
    assert adata.layers["train"].dtype == adata.X.dtype


def test_the_split_does_not_depend_on_the_format():
    splits = [adata_of(kind, dtype) for kind in KINDS for dtype in ("float32", "int64")]
    for adata in splits:
        pp.thin_counts(adata, 0.7, random_state=5)
        np.testing.assert_array_equal(dense(adata.layers["train"]), dense(splits[0].layers["train"]))
    again = adata_of()
    pp.thin_counts(again, 0.7, random_state=6)
    assert (again.layers["train"] != splits[0].layers["train"]).nnz


@pytest.mark.parametrize("n", [1, 3, 40, 3000])
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_the_split_is_binomial(n, fraction):
    adata = AnnData(np.full((200, 100), n, "float64"))
    pp.thin_counts(adata, fraction)
    train = adata.layers["train"].ravel().astype(int)
    edges = np.unique(stats.binom.ppf(np.linspace(0, 1, 12)[1:-1], n, fraction))
    observed = np.bincount(np.searchsorted(edges, train), minlength=edges.size + 1)
    expected = np.diff(np.r_[0, stats.binom.cdf(edges, n, fraction), 1]) * train.size
    possible = expected > 0
    assert stats.chisquare(observed[possible], expected[possible] * observed.sum() / expected[possible].sum()).pvalue > 1e-4
    across = np.corrcoef(adata.layers["train"][:, :-1].ravel(), adata.layers["train"][:, 1:].ravel())[0, 1]
    assert abs(across) < 0.04  # neighbouring genes draw independently


@pytest.mark.parametrize(
    ("options", "error"),
    [({"fraction": 1.0}, ConfigError), ({"key_test": "train"}, ConfigError), ({"layer": "absent"}, MissingKeyError)],
)
def test_wrong_options_raise(options, error):
    with pytest.raises(error):
        pp.thin_counts(adata_of(), **options)


@pytest.mark.parametrize("value", [0.5, -1.0, np.nan, np.inf, 1e30])
@pytest.mark.parametrize("verb", [pp.thin_counts, pp.size_factors, pp.rank_by_deviance])
def test_values_that_are_not_counts_raise(value, verb):
    adata = adata_of()
    adata.X.data[3] = value
    with pytest.raises(CountsError):
        verb(adata)
    assert (list(adata.layers), list(adata.uns), list(adata.obs)) == ([], [], ["batch", "mask"])


@pytest.mark.parametrize("key", ["train", "test"])
def test_a_layer_of_the_user_is_not_overwritten_but_one_of_ours_is(tmp_path, key):
    adata = adata_of()
    adata.layers[key] = mine = np.ones(adata.shape, "float32")
    with pytest.raises(ConfigError, match=rf"layers\['{key}'\] already exists.*del adata.*key_{key}="):
        pp.thin_counts(adata)
    np.testing.assert_array_equal(adata.layers[key], mine)
    del adata.layers[key]
    pp.thin_counts(adata)
    adata = read(stored(tmp_path, adata, "h5ad"))  # the record survives a file
    pp.thin_counts(adata, random_state=1)
    np.testing.assert_array_equal(dense(adata.layers["train"]) + dense(adata.layers["test"]), dense(adata.X))


@pytest.mark.parametrize(
    "wrong",
    [
        {"key_train": "a/b"},
        {"key_test": "a/b"},
        {"key_train": ""},
        {"random_state": -1},
        {"random_state": 2**64},
        {"fraction": np.nan},
    ],
    ids=str,
)
def test_keys_and_seeds_out_of_range_are_refused(wrong):
    adata = adata_of()
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        pp.thin_counts(adata, **wrong)
    assert list(adata.layers) == []


@pytest.mark.parametrize("verb", [pp.thin_counts, pp.size_factors])
@pytest.mark.parametrize("own", ["a note", {"written": "by me"}])
def test_a_users_own_uns_scae_is_refused_before_the_work(verb, own):
    adata = adata_of()
    adata.uns["scae"] = own
    with pytest.raises(ConfigError, match=r"uns\['scae'\] is a .* that scae did not write"):
        verb(adata)
    assert (list(adata.layers), list(adata.obs), adata.uns["scae"]) == ([], ["batch", "mask"], own)
