"""Is this AnnData fit for a count model? Each fault says what it is and what to do."""

from __future__ import annotations

import inspect

import anndata
import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from helpers import QUICK, run_python

import scae
from scae import checks
from scae.errors import ConfigError, CountsError, GenesError, MatrixError, MissingKeyError, ScaeError
from scae.keys import KEYWORDS

IN_MEMORY = {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": np.asarray, "csr array": sp.csr_array}


def log_normalized(x) -> sp.csr_matrix:
    dense = x.toarray().astype(np.float64)
    return sp.csr_matrix(np.log1p(dense / dense.sum(1, keepdims=True) * 1e4))


def refused(adata: AnnData, error: type, *said: str, **options) -> None:
    """The check names the fault, and every verb refuses with the same words."""
    report = scae.check(adata, **options)
    assert not report.ok
    for words in said:
        assert words in str(report)
    with pytest.raises(error) as fault:
        scae.tl.fit(adata, plan=QUICK, **options)
    assert all(words in str(fault.value) for words in said)


@pytest.fixture
def pbmc(pbmc) -> AnnData:
    """Real cells, with their counts in another layer than the one that is found without being named."""
    pbmc.layers["umis"] = pbmc.layers.pop("counts")
    return pbmc


def test_counts_pass(pbmc):
    assert scae.check(pbmc).ok
    assert "200 cells × 765 genes" in str(scae.check(pbmc))
    assert scae.check(pbmc, layer="umis", batch_key="batch", continuous_covariates=["age"], size_factor="n_counts").ok


def test_log_normalised_values_are_named_with_the_layer_that_holds_counts(pbmc):
    pbmc.X = log_normalized(pbmc.X)
    refused(pbmc, CountsError, "X looks log-normalised", "layer='umis'")


def test_log_normalised_values_are_named_with_raw(pbmc):
    pbmc.raw = pbmc
    pbmc.X = log_normalized(pbmc.X)
    del pbmc.layers["umis"]
    refused(pbmc, CountsError, "X looks log-normalised", ".raw")


def test_a_layer_that_is_not_counts_points_to_x(pbmc):
    pbmc.layers["log"] = log_normalized(pbmc.X)
    refused(pbmc, CountsError, "layers['log'] looks log-normalised", "layer=None (X)", layer="log")


def dense(pbmc: AnnData) -> np.ndarray:
    pbmc.X = pbmc.X.toarray().astype(np.float64)
    return pbmc.X


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize(
    ("value", "said"), [(-1.0, "1 negative"), (np.nan, "1 NaN or infinite"), (np.inf, "1 NaN or infinite"), (2.5, "2.5")]
)
def test_one_bad_value_is_found(pbmc, form, value, said):
    x = dense(pbmc)
    x[3, 5] = value
    pbmc.X = form(x)
    refused(pbmc, CountsError, said, "layer='umis'")


def test_scaled_values_look_scaled(pbmc):
    x = dense(pbmc)
    pbmc.X = (x - x.mean(0)) / (x.std(0) + 1)
    refused(pbmc, CountsError, "negative values; it looks scaled")


def test_empty_cells_are_a_warning_and_empty_genes_a_note(pbmc):
    x = dense(pbmc)
    x[:, x.sum(0) == 0] = 1
    x[2], x[:, 7] = 0, 0
    report = scae.check(pbmc)
    assert report.ok
    assert [f.level for f in report.findings if "without counts" in f.message] == ["warning", "note"]
    assert "cells without counts: 1" in str(report)
    assert "genes without counts: 1" in str(report)


@pytest.mark.parametrize("form", IN_MEMORY)
def test_genes_with_a_lone_spike_are_a_note(form):
    x = np.ones((60, 5), np.float32)
    x[3] = [10, 4, 41, 10, 9]
    x[5] = [2, 1, 10, 3, 1]
    note = "genes with a lone spike, a count of at least 10 in one cell that is more than 4 times the second"
    (found,) = [f for f in scae.check(AnnData(IN_MEMORY[form](x))).findings if note in f.message]
    assert (found.level, "2 (40.0 %), e.g. 0, 2." in found.message) == ("note", True)
    assert note not in str(scae.check(AnnData(IN_MEMORY[form](np.minimum(x, 9)))))
    assert note not in str(scae.check(AnnData(x), fractions=True))


def test_gene_names_must_be_unique(pbmc):
    pbmc.var_names = ["A", "A", *pbmc.var_names[2:]]
    refused(pbmc, GenesError, "not unique (e.g. A)", "var_names_make_unique")


@pytest.mark.parametrize("index", [-5, 765, 2**30])
@pytest.mark.parametrize("form", ["csr", "csc"])
def test_bad_indices_raise_and_do_not_crash(index, form):
    """In a process of its own: reading out of bounds would end it."""
    code = (
        "import anndata, scae, pytest\nfrom helpers import real_counts\nfrom scae.errors import MatrixError\n"
        f"a = real_counts()\nx = a.X.asformat({form!r})\na.X = x\na.X.indices[10] = {index}\n"
        "assert not scae.check(a).ok\n"
        "with pytest.raises(MatrixError, match='outside'):\n    scae.tl.fit(a)"
    )
    run_python(code)


def test_pointers_that_lie_raise(pbmc):
    pbmc.X.indptr[3] = 10**6
    refused(pbmc, MatrixError, "indptr")


@pytest.mark.parametrize(("form", "axis"), [("csr", "200 rows"), ("csc", "765 columns")])
def test_pointers_that_are_too_few_are_told_by_cells_or_genes(pbmc, form, axis):
    pbmc.X = pbmc.X.asformat(form)
    pbmc.X.indptr = pbmc.X.indptr[:-3]
    refused(pbmc, MatrixError, f"pointers for {axis}", "Rebuild")


@pytest.mark.parametrize("shape", [(0, 5), (5, 0)])
def test_nothing_is_refused(shape):
    refused(AnnData(np.zeros(shape, np.float32)), CountsError, f"shape {shape[0]} × {shape[1]}", "nothing to fit")


def test_values_that_are_no_numbers_are_refused():
    adata = AnnData(np.ones((3, 2), np.float32))
    adata.layers["text"] = np.array([["1", "2"]] * 3, object)
    refused(adata, CountsError, "object values", layer="text")


def test_no_x_names_the_layers(pbmc):
    adata = AnnData(None, obs=pbmc.obs, var=pbmc.var, layers={"umis": pbmc.X})
    with pytest.raises(CountsError, match=r"X is None.*'umis'"):
        scae.check(adata)
    assert scae.check(adata, layer="umis").ok


@pytest.mark.parametrize("option", ["batch_key", "continuous_covariates", "size_factor"])
def test_missing_values_in_covariates_are_refused(pbmc, option):
    key = "batch" if option == "batch_key" else "age"
    pbmc.obs[key] = pbmc.obs[key].where(np.arange(pbmc.n_obs) != 4)
    value = [key] if option == "continuous_covariates" else key
    with pytest.raises(ScaeError, match=f"obs\\['{key}'\\] has 1 missing"):
        scae.tl.fit(pbmc, plan=QUICK, **{option: value})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"continuous_covariates": ["batch"]}, "must be numeric"),
        ({"size_factor": "signed"}, "above zero"),
        ({"continuous_covariates": ["endless"]}, "infinite"),
    ],
)
def test_columns_must_hold_what_they_are_for(pbmc, options, said):
    pbmc.obs["signed"], pbmc.obs["endless"] = -1.0, np.inf
    with pytest.raises(ScaeError, match=said):
        scae.tl.fit(pbmc, plan=QUICK, **options)


def test_one_row_does_not_look_log_normalised():
    assert "log-normalised" not in str(scae.check(anndata.AnnData(np.array([[1.0, 0.5]]))))


def test_huge_counts_are_a_warning():
    assert "2^24" in str(scae.check(AnnData(np.array([[2.0**25, 1], [1, 1]]))))
    refused(AnnData(np.array([[1e30, 1], [1, 1]])), CountsError, "up to 1e+30, too large for counts")


def test_sound_counts_are_the_only_matrix_that_is_read(pbmc, monkeypatch):
    """Other layers and .raw are looked at only to say where counts are, when the matrix that was named holds none."""
    pbmc.raw = pbmc
    pbmc.layers["other"] = pbmc.X.copy()
    pbmc.X = np.full(pbmc.shape, np.nan)
    read, matrix = [], checks.matrix
    monkeypatch.setattr(checks, "matrix", lambda adata, layer: (read.append(layer), matrix(adata, layer))[1])
    monkeypatch.setattr(checks, "is_counts", lambda _: pytest.fail("another matrix was searched for counts"))
    monkeypatch.setattr(AnnData, "raw", property(lambda _: pytest.fail(".raw was read")))
    assert scae.check(pbmc, layer="umis").ok
    scae.tl.denoise(pbmc, plan=QUICK, layer="umis")
    assert read == ["umis", "umis"]


def test_an_unknown_key_is_a_type_error_that_names_the_known_ones(pbmc):
    with pytest.raises(TypeError) as fault:
        scae.check(pbmc, batch="batch")
    assert all(name in str(fault.value) for name in ("'batch'", *KEYWORDS))


def test_the_signature_and_the_help_list_every_key():
    parameters = inspect.signature(scae.check).parameters
    assert {name: parameters[name].default for name in KEYWORDS} == {name: default for name, (default, *_) in KEYWORDS.items()}
    text = " ".join(scae.check.__doc__.split())
    assert all(f"{name} : {kind} {doc[0].upper()}{doc[1:]}." in text for name, (_, kind, doc) in KEYWORDS.items())


@pytest.mark.parametrize(
    ("mask", "error", "said"),
    [
        ("markrs", MissingKeyError, "did you mean 'markers'"),
        ("n_cells", ConfigError, "mask_var has dtype"),
        ([True], ConfigError, "allowed: bool, (765,)"),
        ([False] * 765, ConfigError, "chooses no gene"),
    ],
)
def test_the_genes_to_model_are_checked(pbmc, mask, error, said):
    pbmc.var["markers"], pbmc.var["n_cells"] = True, 3
    assert scae.check(pbmc, mask_var="markers").ok
    refused(pbmc, error, said, mask_var=mask)


def advised(report: scae.checks.Report) -> str:
    """The line of code in an error that says how to round."""
    return str(report).partition("Round them: ")[2].splitlines()[0].rstrip(".")


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csc_matrix])
@pytest.mark.parametrize("place", ["X", "layers"])
@pytest.mark.parametrize("error", [1e-12, 1e-9, -1e-7])
def test_counts_that_arithmetic_left_almost_whole_are_said_to_be_so_and_the_advice_works(pbmc, form, place, error):
    x = pbmc.X.toarray().astype(np.float64)
    almost, layer = form(x * (1 + error)), None if place == "X" else "almost"
    if place == "X":
        pbmc.X = almost
    else:
        pbmc.layers["almost"] = almost
    refused(pbmc, CountsError, "a whole number to within a relative", "np.rint", layer=layer)
    example = float(str(scae.check(pbmc, layer=layer)).partition("(e.g. ")[2].partition(")")[0])
    assert example != round(example), "the example shows what is not whole"
    exec(advised(scae.check(pbmc, layer=layer)), {"adata": pbmc, "np": np})
    assert scae.check(pbmc, layer=layer).ok
    rounded = pbmc.X if layer is None else pbmc.layers[layer]
    np.testing.assert_array_equal(rounded.toarray() if sp.issparse(rounded) else rounded, x)


@pytest.mark.parametrize("error", [0.5, 1e-2, 1e-5])
def test_fractions_are_not_said_to_be_rounding(pbmc, error):
    pbmc.X = pbmc.X.toarray().astype(np.float64) + error
    assert "Round them" not in str(scae.check(pbmc))
    refused(pbmc, CountsError, "layer='umis'")


OTHERS = {
    "text": lambda x: np.full(x.shape, "1", object),
    "complex": lambda x: x.toarray().astype(complex),
    "fractions": lambda x: x.toarray() / 3,
    "truth values": lambda x: x.toarray() > 0,
}


@pytest.mark.parametrize("other", OTHERS)
def test_the_search_for_counts_passes_over_any_other_layer(pbmc, other):
    pbmc.layers["other"] = OTHERS[other](pbmc.X)
    pbmc.X = log_normalized(pbmc.X)
    refused(pbmc, CountsError, "layer='umis'")
    assert ("layer='other'" in str(scae.check(pbmc))) is (other == "truth values")


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_counts_in_dask_are_found(pbmc, form):
    da = pytest.importorskip("dask.array")
    chunks = da.from_array(pbmc.X.toarray(), chunks=(70, 765)).map_blocks(form)
    pbmc.raw = AnnData(chunks, obs=pbmc.obs, var=pbmc.var)
    pbmc.layers["lazy"] = chunks
    pbmc.X = log_normalized(pbmc.X)
    assert "layer='lazy'" in str(scae.check(pbmc))
    assert "adata.raw.to_adata()" in str(scae.check(pbmc))


def test_counts_are_found_in_their_usual_layer_and_the_report_says_so(pbmc):
    pbmc.layers["counts"] = pbmc.X.copy()
    assert "is used" not in str(scae.check(pbmc))
    pbmc.X = log_normalized(pbmc.X)
    report = scae.check(pbmc)
    assert report.ok
    assert "layers['counts'], csr" in report.about
    assert "note: X does not hold raw counts: layers['counts'] is used." in str(report)
    assert "log-normalised" in str(scae.check(pbmc, fractions=True)), "values that need not be counts are those of X"
    pbmc.X = None
    assert "there is no X: layers['counts'] is used." in str(scae.check(pbmc))
    pbmc.layers["counts"] = pbmc.layers["umis"] * 0.5
    with pytest.raises(CountsError, match="X is None"):
        scae.check(pbmc)
