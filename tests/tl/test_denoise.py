"""What the denoised layer holds for each of its options."""

from __future__ import annotations

import json
import warnings

import anndata
import numpy as np
import pandas as pd
import pytest
from helpers import QUICK, SHARED

import scae
from scae.errors import CategoryError, ConfigError, MissingKeyError
from scae.infer import BLOCK
from scae.kernels.greatest import is_lone_spike, two_greatest
from scae.kernels.rows import Rows

from .calls import denoised


@pytest.mark.parametrize("n_samples", [0, 5])
def test_mean_sums_to_the_library_and_rate_to_its_size(pbmc, model, n_samples):
    totals = np.asarray(pbmc.X.sum(1)).ravel()
    np.testing.assert_allclose(denoised(pbmc, model, n_samples=n_samples).sum(1), totals, rtol=1e-4)
    rate = denoised(pbmc, model, kind="rate", library_size=500.0, n_samples=n_samples)
    np.testing.assert_allclose(rate.sum(1), 500.0, rtol=1e-4)
    assert pbmc.layers["denoised"].dtype == np.float32


def test_samples_are_counts_around_the_mean(pbmc, model):
    drawn, mean = denoised(pbmc, model, kind="sample").copy(), denoised(pbmc, model, n_samples=20)
    assert ((drawn >= 0) & (drawn == np.rint(drawn))).all()
    assert drawn.sum() == pytest.approx(mean.sum(), rel=0.05)
    assert np.corrcoef(drawn.mean(0), mean.mean(0))[0, 1] > 0.95


def test_more_samples_settle(pbmc, model):
    many, other = denoised(pbmc, model, n_samples=200).copy(), denoised(pbmc, model, n_samples=300)
    few = denoised(pbmc, model, n_samples=1)
    assert np.abs(many - other).mean() < 0.5 * np.abs(few - other).mean()


def test_blocks_make_the_whole(model, pbmc):
    big = anndata.concat([pbmc] * 4, index_unique="-", merge="same")
    assert big.n_obs > BLOCK
    np.testing.assert_allclose(denoised(big, model, n_samples=0)[600:], denoised(pbmc, model, n_samples=0), rtol=1e-4, atol=1e-6)


def test_genes_are_the_layers_columns(pbmc, model):
    genes = ["CD3D", "LYZ", "NKG7"]
    layer = denoised(pbmc, model)
    scae.tl.denoise(pbmc, model, genes=genes, key_added="markers")
    frame = pbmc.obsm["markers"]
    assert frame.columns.tolist() == genes
    assert frame.index.equals(pbmc.obs_names)
    assert np.array_equal(frame.to_numpy(), layer[:, pbmc.var_names.get_indexer(genes)])
    with pytest.raises(MissingKeyError, match=r"unknown gene 'CD3'.*did you mean"):
        scae.tl.denoise(pbmc, model, genes=["CD3"])


def test_at_batch_is_the_own_batch_for_its_cells_and_another_for_others(pbmc, model):
    own = denoised(pbmc, model).copy()
    east = denoised(pbmc, model, at_batch="east")
    here = (pbmc.obs["batch"] == "east").to_numpy()
    assert np.array_equal(own[here], east[here])
    assert (own[~here] != east[~here]).any(1).all()
    with pytest.raises(CategoryError, match="'north'"):
        scae.tl.denoise(pbmc, model, at_batch="north")


@pytest.mark.parametrize("options", [{"kind": "median"}, {"library_size": 0.0}, {"n_samples": -1}, {"key_added": "counts"}])
def test_options_that_are_not_allowed(pbmc, model, options):
    before = pbmc.layers["counts"].copy()
    with pytest.raises(ConfigError, match=str(next(iter(options.values())))):
        scae.tl.denoise(pbmc, model, **options)
    assert (pbmc.layers["counts"] != before).nnz == 0
    assert "denoised" not in pbmc.layers


def test_at_batch_needs_a_batch(pbmc):
    model = scae.tl.fit(pbmc, plan=QUICK)
    with pytest.raises(ConfigError, match="without batch_key"):
        scae.tl.denoise(pbmc, model, at_batch="east")


@pytest.mark.parametrize("options", [{"kind": "sample"}, {"n_samples": 2}])
def test_a_draw_has_a_seed(pbmc, model, options):
    one, again, other = (denoised(pbmc, model, random_state=seed, **options).copy() for seed in (4, 4, 5))
    assert np.array_equal(one, again)
    assert (one != other).any(1).mean() > 0.9
    record = json.loads(pbmc.uns["scae"]["written"]["layers['denoised']"])
    assert (record["random_state_of_draw"], record["random_state"]) == (5, 0)
    assert np.array_equal(denoised(pbmc, model, **options), denoised(pbmc, model, random_state=0, **options))


def test_the_seed_of_a_fit_is_also_that_of_its_draw(pbmc):
    fitted = scae.tl.denoise(pbmc, plan=QUICK, kind="sample", random_state=3, key_added="fresh", device="cpu")
    record = json.loads(pbmc.uns["scae"]["written"]["layers['fresh']"])
    assert (record["random_state_of_draw"], record["random_state"]) == (3, 3)
    for seed, same in ((3, True), (4, False)):
        assert np.array_equal(denoised(pbmc, fitted, kind="sample", random_state=seed), pbmc.layers["fresh"]) is same


@pytest.mark.parametrize("kind", ["mean", "rate", "log_mean"])
def test_what_is_not_drawn_takes_no_seed(pbmc, model, kind):
    with pytest.raises(ConfigError, match="random_state cannot be changed"):
        scae.tl.denoise(pbmc, model, kind=kind, random_state=4)
    scae.tl.denoise(pbmc, model, kind="mean", key_added="mean")
    assert "random_state_of_draw" not in json.loads(pbmc.uns["scae"]["written"]["layers['mean']"])


def test_the_seed_of_a_draw_is_checked(pbmc, model):
    with pytest.raises(ConfigError, match="random_state is -1"):
        scae.tl.denoise(pbmc, model, kind="sample", random_state=-1)


@pytest.mark.slow
@pytest.mark.shared
def test_draws_vary_as_the_counts_do_but_for_lone_spikes():
    """The variance of a gene with a lone spike is that of one cell, which no model of the others predicts."""
    ratio = {}
    for choice in ("keep", "drop"):
        adata = anndata.read_h5ad(SHARED / "pbmc3k.h5ad")
        scae.pp.recipe(adata, lone_spikes=choice)
        scae.tl.denoise(adata, layer="counts", kind="sample")
        chosen = adata.var["highly_variable"].to_numpy()
        counts, drawn = adata.layers["counts"][:, chosen].toarray(), adata.layers["denoised"][:, chosen]
        lone = is_lone_spike(two_greatest(Rows.full(counts)))
        ratio[choice] = pd.Series(drawn.var(0) / counts.var(0)).groupby(lone).median()
        assert 700 < lone.sum() < 1100 if choice == "keep" else not lone.any()
    assert ratio["keep"][True] < 0.5
    assert 0.65 < ratio["drop"][False] < 1.25
    assert ratio["drop"][False] > ratio["keep"][False]


NAMES = {
    "Index": pd.Index,
    "Series": pd.Series,
    "Categorical": pd.Categorical,
    "array": np.array,
    "objects": lambda names: np.array(names, object),
    "tuple": tuple,
    "keys": dict.fromkeys,
    "iterator": iter,
}


@pytest.mark.parametrize("form", NAMES)
def test_genes_may_be_any_sequence_of_names(form, pbmc, model):
    genes = ["LYZ", "CD3D", "NKG7"]
    for key, given in (("list", genes), (form, NAMES[form](genes))):
        scae.tl.denoise(pbmc, model, genes=given, key_added=key)
    pd.testing.assert_frame_equal(pbmc.obsm[form], pbmc.obsm["list"])


def test_a_lone_name_is_one_gene(pbmc, model):
    scae.tl.denoise(pbmc, model, genes="CD3D")
    assert pbmc.obsm["denoised"].columns.tolist() == ["CD3D"]


@pytest.mark.parametrize(
    ("genes", "error", "said"),
    [
        (["CD3D", "LYZ", "CD3D"], ConfigError, "genes repeats 'CD3D'"),
        ([], ConfigError, "genes is empty"),
        (pd.Index([]), ConfigError, "genes is empty"),
        (3, ConfigError, "genes is 3; allowed: names of genes"),
        ([0, 1], MissingKeyError, "unknown gene '0'"),
        ("CD3", MissingKeyError, "unknown gene 'CD3': did you mean"),
    ],
)
def test_genes_that_are_none_are_refused_before_a_fit(genes, error, said, pbmc, monkeypatch):
    monkeypatch.setattr("scae.tl._fit.train", lambda *_, **__: pytest.fail("a fit was started"))
    with pytest.raises(error) as fault:
        scae.tl.denoise(pbmc, plan=QUICK, genes=genes)
    assert said in str(fault.value)
    assert "denoised" not in pbmc.obsm


def test_all_of_many_genes_are_named_quickly(pbmc, model):
    """The time to look for repeats grows with the number of names, not with its square."""
    names = [f"gene{i}" for i in range(200_000)]
    with pytest.raises(MissingKeyError, match="unknown gene 'gene0'"):
        scae.tl.denoise(pbmc, model, genes=names)


def test_a_layer_larger_than_the_memory_is_refused_before_the_fit(pbmc, model, monkeypatch):
    monkeypatch.setattr("scae.io.room.memory_available", lambda: 4 * pbmc.n_obs * pbmc.n_vars - 1)
    with monkeypatch.context() as patched:
        patched.setattr("scae.tl._fit.verify", lambda *_, **__: pytest.fail("the work had begun"))
        for which in (model, "denoiser"):
            with pytest.raises(ConfigError, match=r"200 cells × 765 genes takes 612000 bytes of memory, and 611999 bytes are"):
                scae.tl.denoise(pbmc, which)
    scae.tl.denoise(pbmc, model, genes=["CD3D"])
    scae.tl.denoise(pbmc[:, model.data.genes][:100].copy(), model)
    monkeypatch.setattr("scae.io.room.memory_available", lambda: None)
    scae.tl.denoise(pbmc, model, key_added="whole")


@pytest.fixture
def marked(pbmc):
    """Counts, all genes of which but three are marked as variable."""
    pbmc.var["highly_variable"] = ~pbmc.var_names.isin(["CD3D", "LYZ", "NKG7"])
    return pbmc


def test_genes_that_are_not_modelled_are_counted_and_those_of_a_subset_are_not_missed(marked):
    with pytest.warns(UserWarning, match="not modelled") as told:
        fitted = scae.tl.denoise(marked, plan=QUICK)
    said = [str(w.message) for w in told if "not modelled" in str(w.message)]
    assert len(said) == 1
    assert "3 of the 765 genes are not modelled and are NaN in layers['denoised']" in said[0]
    assert "keep_genes" in said[0]
    assert np.isnan(marked.layers["denoised"]).all(0).tolist() == (~marked.var["highly_variable"]).tolist()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*not modelled")
        scae.tl.denoise(marked[:, list(fitted.data.genes)].copy(), fitted)
        scae.tl.denoise(marked, fitted, genes=["CD79A"])


def test_a_gene_that_is_there_but_not_modelled_is_not_called_unknown(marked, monkeypatch):
    fitted = scae.tl.fit(marked, plan=QUICK)
    monkeypatch.setattr("scae.tl._fit.train", lambda *_, **__: pytest.fail("a fit was started"))
    for model in ("denoiser", fitted):
        with pytest.raises(
            MissingKeyError, match=r"^CD3D, LYZ are in adata but not among the 762 genes that are modelled\. To model"
        ):
            scae.tl.denoise(marked, model, genes=["CD3D", "CD79A", "LYZ"])
    with pytest.raises(MissingKeyError, match="unknown gene 'CD3'"):
        scae.tl.denoise(marked, fitted, genes=["CD3"])
