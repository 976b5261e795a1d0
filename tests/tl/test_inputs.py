"""Whatever form the counts come in, the result is the same; what does not fit is refused by name."""

from __future__ import annotations

import hashlib
import warnings

import anndata
import numpy as np
import pytest
import scipy.sparse as sp
from helpers import QUICK, real_counts, same_weights

import scae
from scae.errors import CategoryError, ConfigError, GenesError, MissingKeyError
from scae.keys import DataKeys
from scae.tl._inputs import prepare, query, verify

from .calls import embedded

FORMS = {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": lambda x: x.toarray(), "csr_array": sp.csr_array}


def digest(x) -> str:
    arrays = (x.indptr, x.indices, x.data) if sp.issparse(x) else (x,)
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


@pytest.fixture(scope="module")
def reference(model):
    return embedded(real_counts(), model)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["int32", "int64", "uint16", "float32", "float64"])
def test_every_form_gives_the_same_bits_and_is_left_alone(form, dtype, pbmc, model, reference):
    pbmc.X = FORMS[form](pbmc.X).astype(dtype)
    before = digest(pbmc.X), digest(pbmc.layers["counts"])
    got = embedded(pbmc, model)
    scae.tl.denoise(pbmc, model, n_samples=1)
    assert got.tobytes() == reference.tobytes()
    assert (got.dtype, got.flags["C_CONTIGUOUS"]) == (np.float32, True)
    assert (digest(pbmc.X), digest(pbmc.layers["counts"])) == before


@pytest.mark.parametrize("form", FORMS)
def test_a_fit_does_not_depend_on_the_form(form, pbmc):
    want = embedded(pbmc.copy(), "vae", plan=QUICK)
    pbmc.X = FORMS[form](pbmc.X).astype("int64")
    assert embedded(pbmc, "vae", plan=QUICK).tobytes() == want.tobytes()


def test_a_view_gives_the_same_bits(model):
    big = anndata.concat([real_counts(), real_counts()], index_unique="-")
    view = big[200:]
    assert view.is_view
    assert embedded(view, model).tobytes() == embedded(big[200:].copy(), model).tobytes()


def test_stored_zeros_and_split_entries_are_the_same_counts(pbmc, model, reference):
    x = pbmc.X.tocoo()
    split = sp.coo_matrix(
        (np.r_[x.data - 1, np.ones_like(x.data), 0], (np.r_[x.row, x.row, 0], np.r_[x.col, x.col, 0])), shape=x.shape
    )
    order = np.lexsort((-split.col, split.row))
    indptr = np.r_[0, np.bincount(split.row, minlength=x.shape[0]).cumsum()]
    pbmc.X = sp.csr_matrix((split.data[order].astype(np.float32), split.col[order], indptr), shape=x.shape)
    assert not pbmc.X.has_canonical_format
    assert embedded(pbmc, model).tobytes() == reference.tobytes()


def test_genes_are_matched_by_name(pbmc, model, reference):
    """Permuted genes and further genes: the same bits."""
    more = anndata.AnnData(sp.csr_matrix(np.ones((pbmc.n_obs, 3), np.float32)), obs=pbmc.obs)
    more.var_names = ["new1", "new2", "new3"]
    wide = anndata.concat([more, pbmc], axis=1, merge="first")
    assert wide.n_vars == pbmc.n_vars + 3
    permuted = wide[:, np.random.default_rng(0).permutation(wide.n_vars)].copy()
    assert embedded(permuted, model).tobytes() == reference.tobytes()
    scae.tl.denoise(permuted, model, n_samples=0)
    scae.tl.denoise(pbmc, model, n_samples=0)
    assert np.array_equal(permuted[:, pbmc.var_names].layers["denoised"], pbmc.layers["denoised"])
    assert np.isnan(permuted[:, ["new1", "new2", "new3"]].layers["denoised"]).all()


def test_missing_genes_are_refused(pbmc, model):
    with pytest.raises(GenesError, match=r"2 of the model's 765 genes .*" + pbmc.var_names[0]):
        scae.tl.embed(pbmc[:, 2:].copy(), model)
    assert "X_scae" not in pbmc.obsm


def test_unseen_levels_are_refused(pbmc, model):
    pbmc.obs["batch"] = ["north"] * pbmc.n_obs
    with pytest.raises(CategoryError, match=r"'north'.*Known: 'east', 'west'"):
        scae.tl.embed(pbmc, model)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layer": "count"}, "unknown layer 'count': did you mean 'counts'"),
        ({"batch_key": "bacth"}, "unknown obs column 'bacth': did you mean 'batch'"),
        ({"categorical_covariates": ["donors"]}, "did you mean 'donor'"),
        ({"continuous_covariates": ["agee"]}, "did you mean 'age'"),
        ({"size_factor": "n_count"}, "did you mean 'n_counts'"),
        ({"mask_var": "markrs"}, "unknown var column 'markrs': did you mean 'markers'"),
    ],
)
def test_unknown_names_come_with_the_closest(pbmc, options, said):
    pbmc.var["markers"] = True
    with pytest.raises(MissingKeyError) as fault:
        scae.tl.fit(pbmc, plan=QUICK, **options)
    assert said in str(fault.value)


def test_a_query_may_hold_its_counts_elsewhere(pbmc, model, reference):
    pbmc.X = np.log1p(pbmc.X.toarray())
    assert embedded(pbmc, model, layer="counts").tobytes() == reference.tobytes()


@pytest.mark.parametrize("bad", [np.zeros(765, bool), np.ones(765), np.ones(3, bool)])
def test_masks_that_are_none_are_refused(pbmc, bad):
    with pytest.raises(ConfigError, match="mask_var"):
        scae.tl.fit(pbmc, plan=QUICK, mask_var=bad)


@pytest.mark.parametrize("how", ["column", "array", "highly_variable"])
def test_masked_genes_are_not_modelled(pbmc, how):
    mask = np.arange(pbmc.n_vars) % 3 == 0
    pbmc.var["highly_variable" if how == "highly_variable" else "mine"] = mask
    if how != "highly_variable":
        pbmc.var.drop(columns="highly_variable", errors="ignore", inplace=True)
    mask_var = {"column": "mine", "array": mask, "highly_variable": None}[how]
    model = scae.tl.denoise(pbmc, plan=QUICK, mask_var=mask_var, n_samples=0)
    assert model.data.genes == tuple(pbmc.var_names[mask])
    assert np.array_equal(np.isnan(pbmc.layers["denoised"]).all(0), ~mask)
    assert np.isfinite(pbmc.layers["denoised"][:, mask]).all()
    library = np.asarray(pbmc.X[:, mask].sum(1)).ravel()
    np.testing.assert_allclose(np.nansum(pbmc.layers["denoised"], 1), library, rtol=1e-4)


def test_size_factor_is_an_exposure_in_counts(pbmc):
    """A column that is the total in other units is the total; the layer's rows sum to it."""
    totals = np.asarray(pbmc.X.sum(1), np.float64).ravel()
    pbmc.obs["depth"] = totals / 1234.5
    keys = DataKeys(size_factor="depth")
    _, source = prepare(pbmc, verify(pbmc, keys)[1], keys)
    np.testing.assert_allclose(source.library[:, 0], totals, rtol=1e-6)
    pbmc.obs["depth"] = np.where(np.arange(pbmc.n_obs) == 0, 3.0, 1.0)
    scae.tl.denoise(pbmc, plan=QUICK, size_factor="depth", n_samples=0)
    sums = pbmc.layers["denoised"].sum(1)
    np.testing.assert_allclose(sums / sums[1], pbmc.obs["depth"], rtol=1e-4)


def test_continuous_covariates_are_standardised_as_at_the_fit(pbmc):
    keys = {"continuous_covariates": ["age"], "categorical_covariates": ["donor"], "batch_key": "batch"}
    model = scae.tl.fit(pbmc, scae.ModelSpec(), plan=QUICK, **keys)
    seen = query(pbmc, pbmc.X, model.data).continuous
    assert seen.mean() == pytest.approx(0, abs=1e-5)
    assert seen.std() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(query(pbmc[:9], pbmc.X[:9], model.data).continuous, seen[:9])
    assert model.data.keys.categorical == ("batch", "donor")
    assert model.data.levels == (("east", "west"), ("a", "b", "c"))
    one = embedded(pbmc, model).copy()
    pbmc.obs["age"] = pbmc.obs["age"] + 30
    assert not np.allclose(one, embedded(pbmc, model))


@pytest.mark.parametrize("chunk", FORMS)
@pytest.mark.parametrize("rows", [7, 100, 200])
def test_dask_chunks_give_the_same_bits(chunk, rows, pbmc, model, reference):
    """Dense or sparse chunks, which do not divide the cells evenly; every verb."""
    da = pytest.importorskip("dask.array")
    here = pbmc.copy()
    pbmc.X = da.from_array(pbmc.X.toarray(), chunks=(rows, pbmc.n_vars)).map_blocks(lambda x: FORMS[chunk](sp.csr_matrix(x)))
    assert scae.check(pbmc).ok
    assert embedded(pbmc, model).tobytes() == reference.tobytes()
    np.testing.assert_array_equal(scae.tl.score(pbmc, model), scae.tl.score(here, model))
    if rows == 100:
        assert same_weights(scae.tl.fit(pbmc, plan=QUICK), scae.tl.fit(here, plan=QUICK))


@pytest.mark.parametrize("start", [0.0, 1.7e9, 20240101.0, 1.7e12])
def test_where_a_continuous_covariate_begins_does_not_matter(start, pbmc):
    """Seconds (or milliseconds) since 1970 and dates as numbers are centred before float32 rounds them."""
    pbmc.obs["when"] = start + (steps := np.arange(pbmc.n_obs) % 60)
    keys = DataKeys(continuous_covariates=("when",))
    _, source = prepare(pbmc, pbmc.X, keys)
    np.testing.assert_allclose(source.continuous[:, 0], (steps - steps.mean()) / steps.std(), atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1.7e9, -2.3e14])
def test_a_constant_covariate_is_zero_and_a_new_value_its_distance(value, pbmc):
    """Rounding in the mean of equal numbers is no spread: nothing is divided by it."""
    pbmc.obs["age"] = value
    keys = DataKeys(continuous_covariates=("age",))
    data, source = prepare(pbmc, pbmc.X, keys)
    assert (source.continuous == 0).all()
    pbmc.obs["age"] = value + 2
    np.testing.assert_allclose(query(pbmc, pbmc.X, data).continuous, 2, rtol=1e-6)


def test_every_verb_takes_the_counts_that_a_recipe_put_aside_and_records_it(pbmc):
    del pbmc.layers["counts"]
    scae.pp.recipe(pbmc, min_genes=1, n_top_genes=300)
    with pytest.warns(UserWarning, match=r"X does not hold raw counts: layers\['counts'\] is used") as told:
        model = scae.tl.embed(pbmc, plan=QUICK)
    assert sum("is used" in str(w.message) for w in told) == 1
    assert model.data.keys.layer == "counts"
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*is used")
        named = scae.tl.fit(pbmc, plan=QUICK, layer="counts")
        scae.tl.denoise(pbmc, model)  # it remembers
    assert same_weights(model, named)
    with pytest.warns(UserWarning, match="is used"):
        scae.tl.cross_validate(pbmc, ["vae"], n_splits=1, plan=QUICK)
    with pytest.warns(UserWarning, match="is used"):
        scae.tl.correlation(pbmc, ["CD3D", "LYZ"], n_samples=1, plan=QUICK)


def test_a_fitted_model_takes_counts_in_x_where_its_layer_is_missing(pbmc):
    pbmc.layers["umis"] = pbmc.layers.pop("counts")
    fitted = scae.tl.fit(pbmc, plan=QUICK, layer="umis")
    reference = embedded(pbmc, fitted)
    del pbmc.layers["umis"]
    with pytest.warns(UserWarning, match=r"there is no layers\['umis'\], to which the model was fitted: X is used"):
        assert embedded(pbmc, fitted).tobytes() == reference.tobytes()
    with pytest.raises(MissingKeyError, match="unknown layer 'umis'"):
        scae.tl.embed(pbmc, fitted, layer="umis")
    pbmc.X = np.log1p(pbmc.X.toarray())
    with pytest.raises(MissingKeyError, match="unknown layer 'umis'"):
        scae.tl.embed(pbmc, fitted)


def test_a_model_fitted_to_x_takes_the_layer_of_a_normalised_query(pbmc, model, reference):
    pbmc.X = np.log1p(pbmc.X.toarray())
    with pytest.warns(UserWarning, match="is used"):
        assert embedded(pbmc, model).tobytes() == reference.tobytes()


def test_models_of_any_values_are_fitted_to_x_as_before(pbmc):
    pbmc.X = np.log1p(pbmc.X.toarray())
    spec = scae.ModelSpec(likelihood=scae.likelihoods.QuasiNB())
    assert scae.tl.fit(pbmc, spec, plan=QUICK).data.keys.layer is None
